import type { Action, MatchItem } from './ir.js';

export type L4 = 'udp' | 'tcp' | 'icmp';

/** The headers of one frame that a list has established by matching (or by pushing). */
export interface Frame {
  /** Distinguishes frames of one rule: 0 is the outermost matched, 1 the one inside VXLAN, 2… are pushed. */
  readonly id: number;
  readonly vlan: boolean;
  readonly l3: 'ipv4' | 'ipv6' | null;
  readonly l4: L4 | null;
  /** Followed by a VXLAN header and the next frame. */
  readonly vxlan: boolean;
}

/** Frames from the outermost inwards. */
export type FrameStack = readonly Frame[];

/** What the match items establish. Their order has been verified. */
export function matchedFrames(match: readonly MatchItem[]): FrameStack {
  const frames: Frame[] = [];
  const change = (fields: Partial<Frame>) => {
    const frame = frames.pop();
    if (frame) frames.push({ ...frame, ...fields });
  };
  for (const item of match) {
    if (item.type === 'eth') frames.push({ id: frames.length, vlan: false, l3: null, l4: null, vxlan: false });
    else if (item.type === 'vlan') change({ vlan: true });
    else if (item.type === 'ipv4' || item.type === 'ipv6') change({ l3: item.type });
    else if (item.type === 'udp' || item.type === 'tcp' || item.type === 'icmp') change({ l4: item.type });
    else if (item.type === 'vxlan') change({ vxlan: true });
  }
  return frames;
}

/** The stack after an action whose preconditions hold. */
export function framesAfter(frames: FrameStack, action: Action): FrameStack {
  switch (action.type) {
    case 'pop-vxlan':
      return frames.slice(1);
    case 'push-vxlan': {
      const id = 2 + Math.max(...frames.map((frame) => frame.id));
      return [{ id, vlan: false, l3: 'ipv4', l4: 'udp', vxlan: true }, ...frames];
    }
    case 'push-vlan':
      return [{ ...frames[0], vlan: true }, ...frames.slice(1)];
    case 'pop-vlan':
      return [{ ...frames[0], vlan: false }, ...frames.slice(1)];
    default:
      return frames;
  }
}
