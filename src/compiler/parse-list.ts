import { parseInterfaceAddress, parseIpv4, parseMac } from '../config/address.js';
import { FaultList, pointer, suggestion } from '../config/faults.js';
import { type JsonObject, type JsonValue, parseJson } from '../config/json.js';
import type { ConfigFault } from '../config/types.js';
import { FlowArguments } from '../native/records.js';
import { ACTION_FIELDS, ARGUMENT_KINDS, and48, type FieldKind, ITEM_LAYOUTS, KIND_MAXIMUM } from './fields.js';
import type { CompileContext, CompilePort } from './index.js';
import { writeArgument } from './instantiate.js';
import type { Action, ArgumentName, FlowList, MatchItem, MatchValue, Value } from './ir.js';

export interface ParsedList {
  readonly list: FlowList;
  /** JSON Pointer of the list in the file. */
  readonly path: string;
  /** Values of one flow to show the rule with; null when the file gives none. */
  readonly row: DataView | null;
}

export type ParseListResult =
  | { readonly ok: true; readonly lists: readonly ParsedList[]; readonly context: CompileContext }
  | { readonly ok: false; readonly faults: readonly ConfigFault[] };

/** What a file that says nothing of ports and underlay means: a fabric port, an external port, room for VXLAN. */
export const DEFAULT_CONTEXT: CompileContext = {
  ports: [
    { name: 'fabric', role: 'fabric', mac: 0x02_00_00_00_f0_01, mtu: 1550, vlan: -1 },
    { name: 'external', role: 'external', mac: 0x02_00_00_00_e0_01, mtu: 1500, vlan: -1 },
  ],
  underlay: { vtep: 0xac_1e_00_01, mac: 0x02_00_00_00_f0_01, udpPort: 4789 },
  tcpWithoutFlags: false,
};

/**
 * Reads match+action lists written by hand: schemas/flow-list.schema.json.
 *
 * Checks what is written; what the lists mean is the compiler's to judge. Never throws.
 *
 * @returns The lists, or every fault at its JSON Pointer.
 */
export function parseLists(text: string): ParseListResult {
  const parsed = parseJson(text);
  if (!parsed.ok) return parsed;
  const faults = new FaultList();
  for (const fault of parsed.faults) faults.add(fault.path, fault.message, fault.hint);
  const reader = new ListReader(faults);
  const result = reader.document(parsed.value);
  const all = faults.all();
  return all.length === 0 ? { ok: true, ...result } : { ok: false, faults: all };
}

type Path = readonly (string | number)[];

const WIDEST = 2 ** 48 - 1;
const ITEM_NAMES = [...Object.keys(ITEM_LAYOUTS), 'integrity'];
const ARGUMENT_NAMES = Object.keys(FlowArguments).filter((name) => name !== 'size');

const isObject = (value: JsonValue | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Integer, or hexadecimal text. @returns null when it is neither. */
function unsigned(value: JsonValue | undefined): number | null {
  if (typeof value === 'number') return Number.isInteger(value) && value >= 0 && value <= WIDEST ? value : null;
  return typeof value === 'string' && /^0x[0-9a-f]{1,12}$/i.test(value) ? Number(value) : null;
}

const FORMS: Record<FieldKind, string> = {
  mac: 'a MAC such as "02:00:00:00:f0:01"',
  address: 'an IPv4 address such as "10.0.1.5"',
  port: 'a number 0 to 65535',
  vni: 'a number 0 to 16777215',
  vid: 'a number 0 to 4095',
  protocol: 'a number 0 to 255',
  seconds: 'a number of seconds',
  number: 'a number, or hexadecimal text such as "0x0800"',
};

function constant(kind: FieldKind, value: JsonValue | undefined): number | null {
  if (kind === 'mac') return typeof value === 'string' ? parseMac(value) : null;
  if (kind === 'address') return typeof value === 'string' ? parseIpv4(value) : null;
  return unsigned(value);
}

class ListReader {
  private context: CompileContext = DEFAULT_CONTEXT;

  constructor(private readonly faults: FaultList) {}

  document(value: JsonValue): { lists: readonly ParsedList[]; context: CompileContext } {
    if (Array.isArray(value)) return { lists: this.lists(value, []), context: this.context };
    if (!isObject(value)) {
      this.fault([], 'is neither an object nor an array', 'an array of lists, or an object with "lists"');
      return { lists: [], context: this.context };
    }
    this.known(value, ['$schema', 'ports', 'underlay', 'tcpWithoutFlags', 'lists'], []);
    this.readContext(value);
    return { lists: this.lists(value.lists, ['lists']), context: this.context };
  }

  private fault(path: Path, message: string, hint = ''): void {
    this.faults.add(pointer(path), message, hint);
  }

  private known(value: JsonObject, names: readonly string[], path: Path): void {
    for (const name of Object.keys(value)) {
      if (!names.includes(name)) this.fault([...path, name], 'unknown field', suggestion(name, names));
    }
  }

  private optional(value: JsonObject, name: string, kind: FieldKind, otherwise: number, path: Path): number {
    if (value[name] === undefined) return otherwise;
    const read = constant(kind, value[name]);
    if (read !== null && read <= KIND_MAXIMUM[kind]) return read;
    this.fault([...path, name], 'bad value', FORMS[kind]);
    return otherwise;
  }

  private readContext(value: JsonObject): void {
    let { underlay, ports, tcpWithoutFlags } = DEFAULT_CONTEXT;
    if (isObject(value.underlay)) {
      this.known(value.underlay, ['vtep', 'mac', 'udpPort'], ['underlay']);
      underlay = {
        vtep: this.optional(value.underlay, 'vtep', 'address', underlay.vtep, ['underlay']),
        mac: this.optional(value.underlay, 'mac', 'mac', underlay.mac, ['underlay']),
        udpPort: this.optional(value.underlay, 'udpPort', 'port', underlay.udpPort, ['underlay']),
      };
    } else if (value.underlay !== undefined) this.fault(['underlay'], 'is not an object');
    if (typeof value.tcpWithoutFlags === 'boolean') tcpWithoutFlags = value.tcpWithoutFlags;
    else if (value.tcpWithoutFlags !== undefined) this.fault(['tcpWithoutFlags'], 'is neither true nor false');

    ports = ports.map((port) => (port.role === 'fabric' ? { ...port, mac: underlay.mac } : port));
    if (Array.isArray(value.ports) && value.ports.length > 0) {
      ports = value.ports.map((port: JsonValue, i: number) => this.port(port, underlay.mac, ['ports', i]));
      ports.forEach(({ name }, i) => {
        if (ports.findIndex((port) => port.name === name) < i)
          this.fault(['ports', i, 'name'], `a second port ${name}`);
      });
    } else if (value.ports !== undefined) this.fault(['ports'], 'is not an array of ports');
    this.context = { ports, underlay, tcpWithoutFlags };
  }

  private port(value: JsonValue, underlayMac: number, path: Path): CompilePort {
    const [fabric, external] = DEFAULT_CONTEXT.ports;
    if (!isObject(value)) {
      this.fault(path, 'is not an object');
      return external;
    }
    this.known(value, ['name', 'role', 'mac', 'mtu', 'vlan'], path);
    if (typeof value.name !== 'string' || value.name === '') this.fault([...path, 'name'], 'is not a name');
    if (value.role !== 'fabric' && value.role !== 'external') {
      this.fault([...path, 'role'], 'bad value', '"fabric" or "external"');
    }
    const usual = value.role === 'fabric' ? { ...fabric, mac: underlayMac } : external;
    return {
      name: String(value.name),
      role: usual.role,
      mac: this.optional(value, 'mac', 'mac', usual.mac, path),
      mtu: this.optional(value, 'mtu', 'port', usual.mtu, path),
      vlan: this.optional(value, 'vlan', 'vid', -1, path),
    };
  }

  private lists(value: JsonValue | undefined, path: Path): ParsedList[] {
    if (!Array.isArray(value)) {
      this.fault(path, 'is not an array of lists', 'give "lists": [{"ingress": …, "match": […], "actions": […]}]');
      return [];
    }
    return value.map((list: JsonValue, i: number) => this.list(list, i, [...path, i]));
  }

  private list(value: JsonValue, i: number, path: Path): ParsedList {
    const nothing: ParsedList = {
      list: { name: `list-${i}`, ingress: 0, match: [], actions: [] },
      path: pointer(path),
      row: null,
    };
    if (!isObject(value)) {
      this.fault(path, 'is not an object');
      return nothing;
    }
    this.known(value, ['name', 'ingress', 'match', 'actions', 'arguments'], path);
    const { name } = value;
    if (name !== undefined && (typeof name !== 'string' || name === '')) this.fault([...path, 'name'], 'is not a name');
    const ingress = this.portIndex(value.ingress, [...path, 'ingress']);
    const match = this.nodes(value.match, [...path, 'match'], (node, at) => this.item(node, at));
    const actions = this.nodes(value.actions, [...path, 'actions'], (node, at) => this.action(node, ingress, at));
    return {
      list: { name: typeof name === 'string' ? name : nothing.list.name, ingress, match, actions },
      path: pointer(path),
      row: value.arguments === undefined ? null : this.row(value.arguments, [...path, 'arguments']),
    };
  }

  private nodes<T>(value: JsonValue | undefined, path: Path, read: (node: JsonObject, path: Path) => T | null): T[] {
    if (!Array.isArray(value)) {
      this.fault(path, 'is not an array');
      return [];
    }
    const found: T[] = [];
    value.forEach((node: JsonValue, i: number) => {
      const at = [...path, i];
      if (!isObject(node)) this.fault(at, 'is not an object', 'such as {"type": …}');
      else {
        const one = read(node, at);
        if (one !== null) found.push(one);
      }
    });
    return found;
  }

  /** A port's name, or its index. */
  private portIndex(value: JsonValue | undefined, path: Path): number {
    const { ports } = this.context;
    const index = typeof value === 'string' ? ports.findIndex((port) => port.name === value) : value;
    if (typeof index === 'number' && Number.isInteger(index) && index >= 0 && index < ports.length) return index;
    this.fault(
      path,
      value === undefined ? 'is missing' : 'there is no such port',
      `ports: ${ports.map((port) => port.name).join(', ')}`,
    );
    return 0;
  }

  private item(node: JsonObject, path: Path): MatchItem | null {
    const { type } = node;
    if (typeof type !== 'string' || !ITEM_NAMES.includes(type)) {
      this.fault([...path, 'type'], 'unknown item', suggestion(String(type), ITEM_NAMES));
      return null;
    }
    if (type === 'integrity') {
      this.known(node, ['type', 'layer', 'ipv4ChecksumOk'], path);
      const layer = node.layer === 2 ? 2 : 1;
      if (node.layer !== layer) this.fault([...path, 'layer'], 'bad value', '1 (outermost) or 2 (inside VXLAN)');
      if (typeof node.ipv4ChecksumOk !== 'boolean') {
        this.fault([...path, 'ipv4ChecksumOk'], 'is neither true nor false');
      }
      return { type, layer, ipv4ChecksumOk: node.ipv4ChecksumOk === true };
    }
    const { fields } = ITEM_LAYOUTS[type as keyof typeof ITEM_LAYOUTS];
    this.known(node, ['type', ...Object.keys(fields)], path);
    const values: Record<string, MatchValue> = {};
    for (const [name, { kind }] of Object.entries(fields)) {
      if (node[name] === undefined) continue;
      const value = this.matchValue(node[name], kind, [...path, name]);
      if (value !== null) values[name] = value;
    }
    return { type, ...values } as MatchItem;
  }

  private matchValue(value: JsonValue, kind: FieldKind, path: Path): MatchValue | null {
    if (kind === 'address' && typeof value === 'string' && value.includes('/')) {
      const prefix = parseInterfaceAddress(value);
      if (prefix) return { value: and48(prefix.address, prefix.mask), mask: prefix.mask };
    }
    if (isObject(value) && !('argument' in value)) {
      const part = (name: string): number | null => {
        const read = constant(kind, value[name]);
        if (read === null)
          this.fault([...path, name], value[name] === undefined ? 'is missing' : 'bad value', FORMS[kind]);
        return read;
      };
      if ('first' in value) {
        this.known(value, ['first', 'last', 'mask'], path);
        const [first, last] = [part('first'), part('last')];
        const mask = value.mask === undefined ? undefined : part('mask');
        if (first === null || last === null || mask === null) return null;
        return mask === undefined ? { first, last } : { first, last, mask };
      }
      this.known(value, ['value', 'mask'], path);
      const [plain, mask] = [part('value'), part('mask')];
      return plain === null || mask === null ? null : { value: plain, mask };
    }
    return this.value(value, kind, path);
  }

  private value(value: JsonValue, kind: FieldKind, path: Path): Value | null {
    if (isObject(value)) {
      this.known(value, ['argument'], path);
      if (typeof value.argument === 'string' && ARGUMENT_NAMES.includes(value.argument)) {
        return { argument: value.argument as ArgumentName };
      }
      this.fault([...path, 'argument'], 'unknown argument', suggestion(String(value.argument), ARGUMENT_NAMES));
      return null;
    }
    const read = constant(kind, value);
    if (read === null) this.fault(path, 'bad value', `${FORMS[kind]}, or {"argument": …}`);
    return read;
  }

  private action(node: JsonObject, ingress: number, path: Path): Action | null {
    const { type } = node;
    if (typeof type !== 'string' || !Object.hasOwn(ACTION_FIELDS, type)) {
      this.fault([...path, 'type'], 'unknown action', suggestion(String(type), Object.keys(ACTION_FIELDS)));
      return null;
    }
    const fields = ACTION_FIELDS[type as Action['type']];
    const usual = this.usualValues(type);
    const values: Record<string, Value | string> = { type, ...usual };
    const own = OWN_FIELDS[type] ?? [];
    this.known(node, ['type', ...own, ...Object.keys(fields)], path);
    for (const [name, kind] of Object.entries(fields)) {
      if (node[name] === undefined) {
        const needless = name in usual || (type.startsWith('set-') && name !== 'vni' && name !== 'identifier');
        if (!needless) this.fault([...path, name], 'is missing', FORMS[kind]);
        continue;
      }
      const value = this.value(node[name], kind, [...path, name]);
      if (value !== null) values[name] = value;
    }
    if (type === 'output') values.port = this.portIndex(node.port, [...path, 'port']);
    if (type === 'punt') values.port = node.port === undefined ? ingress : this.portIndex(node.port, [...path, 'port']);
    if (type === 'set-l4') {
      if (node.protocol === 'tcp' || node.protocol === 'udp') values.protocol = node.protocol;
      else this.fault([...path, 'protocol'], 'bad value', '"tcp" or "udp"');
    }
    if (type === 'jump') {
      const group = unsigned(node.group);
      if (group === null) this.fault([...path, 'group'], 'is not a group number');
      else values.group = group;
    }
    return values as unknown as Action;
  }

  /** What an action's missing fields mean: the gateway's own end of a tunnel. */
  private usualValues(type: string): Record<string, number> {
    if (type !== 'push-vxlan') return {};
    const { mac, vtep, udpPort } = this.context.underlay;
    return { sourceMac: mac, source: vtep, udpDestinationPort: udpPort };
  }

  private row(value: JsonValue, path: Path): DataView {
    const row = new DataView(new ArrayBuffer(FlowArguments.size));
    if (!isObject(value)) {
      this.fault(path, 'is not an object', 'such as {"matchVni": 100}');
      return row;
    }
    this.known(value, ARGUMENT_NAMES, path);
    for (const [name, kind] of Object.entries(ARGUMENT_KINDS)) {
      if (value[name] === undefined) continue;
      const read = constant(kind, value[name]);
      if (read === null || read > KIND_MAXIMUM[kind]) this.fault([...path, name], 'bad value', FORMS[kind]);
      else writeArgument(row, name as ArgumentName, read);
    }
    return row;
  }
}

/** Fields of actions that are no values. */
const OWN_FIELDS: Readonly<Record<string, readonly string[]>> = {
  output: ['port'],
  punt: ['port'],
  jump: ['group'],
  'set-l4': ['protocol'],
};
