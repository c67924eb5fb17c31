import { formatIpv4 } from '../config/address.js';
import {
  FLOW_TEXT_SLACK,
  RulePath,
  RulePathNames,
  SessionClassNames,
  TcpState,
  TcpStateNames,
} from '../native/records.js';
import { protocolName } from './flow-dump.js';
import type { GatewayController } from './gateway.js';

/** All texts together; they are forgotten and made anew when there are more. */
const TEXTS_BYTES = 128 * 1024;
/** One text: a VPC's name takes 256 bytes of it at most. */
const TEXT_BYTES = 1024;
/** Texts that one line needs at most. */
const TEXTS_OF_LINE = 4;
const LENGTH_BYTES = 2;

const CLASSES = SessionClassNames.map((name) => JSON.stringify(name));
const STATES = TcpStateNames.map((name) => JSON.stringify(name));
const PATHS = RulePathNames.map((name, path) => JSON.stringify(path === RulePath.removing ? 'pending' : name));
const TCP = 6;
/** No route leads to an inside address; no VTEP's. */
const NO_ROUTE = -1;

/**
 * What stands between the numbers of a flow's line: the same in very many lines, made once and then known by its place
 * (FlowLine.head and so on).
 */
export class FlowTexts {
  readonly bytes = Buffer.alloc(TEXTS_BYTES + FLOW_TEXT_SLACK);
  private end = 0;
  private longest = 0;
  private config: GatewayController['config'];
  private readonly heads = new Map<number, number>();
  /** By VPC and route. */
  private readonly underlays = new Map<number, number>();
  /** By path; for a reason by the reason and then the path. */
  private readonly paths: (number | undefined)[] = [];
  private readonly reasons = new Map<string, (number | undefined)[]>();

  constructor(private readonly controller: GatewayController) {
    this.config = controller.config;
  }

  /** Whether the next line may need texts for which there is no room, or those that there are tell of another configuration. */
  get isSpent(): boolean {
    return this.end > TEXTS_BYTES - TEXTS_OF_LINE * TEXT_BYTES || this.config !== this.controller.config;
  }

  /** Bytes of one line's texts at most. */
  get mostOfLine(): number {
    return TEXTS_OF_LINE * this.longest;
  }

  /** No place is valid any more. */
  clear(): void {
    this.config = this.controller.config;
    this.end = 0;
    this.heads.clear();
    this.underlays.clear();
    this.paths.length = 0;
    this.reasons.clear();
  }

  /** From the class to the inside address. @param tcpState Of other protocols than TCP anything. */
  head(vpc: number, sessionClass: number, protocol: number, tcpState: number): number {
    const state = protocol === TCP ? tcpState : TcpState.none;
    const key = (((vpc << 3) | sessionClass) << 12) | (state << 8) | protocol;
    const known = this.heads.get(key);
    if (known !== undefined) return known;
    const { name } = this.config.vpcs[vpc];
    const made = this.add(
      `","class":${CLASSES[sessionClass]},"vpc":${JSON.stringify(name)},"protocol":${JSON.stringify(protocolName(protocol))},` +
        `"state":${protocol === TCP ? STATES[state] : '"active"'},"inside":{"address":"`,
    );
    this.heads.set(key, made);
    return made;
  }

  /** From the remote port to forward's path. @param inside Address, u32 host order. */
  underlay(vpc: number, inside: number): number {
    const route = this.controller.engine.topology.routeIndex(vpc, inside);
    // A double's 53 bits hold both.
    const key = vpc * 0x1_0000_0000 + route;
    const known = this.underlays.get(key);
    if (known !== undefined) return known;
    const { vni, routes } = this.config.vpcs[vpc];
    const vtep = route === NO_ROUTE ? 'null' : `"${formatIpv4(routes[route].vtep)}"`;
    const made = this.add(`},"underlay":{"vni":${vni},"vtep":${vtep}},"forward":{"path":`);
    this.underlays.set(key, made);
    return made;
  }

  /** From a direction's path to its packets. @param reason Why it is not in the NIC; null when it is. */
  path(path: number, reason: string | null): number {
    const of = reason === null ? this.paths : this.ofReason(reason);
    const known = of[path];
    if (known !== undefined) return known;
    const made = this.add(`${PATHS[path]},"reason":${JSON.stringify(reason)},"packets":`);
    of[path] = made;
    return made;
  }

  private ofReason(reason: string): (number | undefined)[] {
    const known = this.reasons.get(reason);
    if (known !== undefined) return known;
    const made: (number | undefined)[] = [];
    this.reasons.set(reason, made);
    return made;
  }

  private add(text: string): number {
    const place = this.end;
    const length = this.bytes.write(text, place + LENGTH_BYTES, TEXTS_BYTES - place - LENGTH_BYTES, 'utf8');
    if (length > TEXT_BYTES - LENGTH_BYTES) throw new Error(`a text of a flow takes ${length} bytes: ${text}`);
    this.longest = Math.max(this.longest, length);
    this.bytes.writeUInt16LE(length, place);
    this.end = place + LENGTH_BYTES + length;
    return place;
  }
}
