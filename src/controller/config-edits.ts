import { isObject } from '../config/field.js';

type Row = Readonly<Record<string, unknown>>;
/** A document that was validated: its parts are lists of objects. */
type Document = Readonly<Record<string, unknown>>;

/** An edit that names what is not there, or what is there more than once. */
export class EditFault extends Error {
  override readonly name = 'EditFault';
  constructor(
    readonly kind: 'missing' | 'ambiguous' | 'exists',
    message: string,
  ) {
    super(message);
  }
}

/** Fields by which an element is named; those not given match any. */
export type Match = Readonly<Record<string, string | undefined>>;

/** @returns The document with another static binding, in front of nothing. The caller validates it. */
export function withBinding(document: unknown, binding: Row): unknown {
  return replaceList(document, 'staticBindings', (list) => [...list, binding]);
}

/** @throws EditFault unless exactly one binding matches */
export function withoutBinding(document: unknown, match: Match): unknown {
  return replaceList(document, 'staticBindings', (list) => without(list, match, 'static binding'));
}

/** Adds an underlay neighbour, or gives a known one another MAC. @param mac Undefined: it is learned by ARP. */
export function withVtep(document: unknown, address: string, mac: string | undefined): unknown {
  const vtep = mac === undefined ? { address } : { address, mac };
  return replaceList(document, 'vteps', (list) =>
    list.some((one) => one.address === address)
      ? list.map((one) => (one.address === address ? vtep : one))
      : [...list, vtep],
  );
}

/** @throws EditFault when there is no such neighbour */
export function withoutVtep(document: unknown, address: string): unknown {
  return replaceList(document, 'vteps', (list) => without(list, { address }, 'VTEP'));
}

/** @throws EditFault when the VPC is not there, or has a route of that prefix */
export function withRoute(document: unknown, vpc: string, route: Row): unknown {
  return replaceRoutes(document, vpc, (list) => {
    if (list.some(({ prefix }) => prefix === route.prefix)) {
      throw new EditFault('exists', `VPC "${vpc}" has a route for ${route.prefix}; remove it first`);
    }
    return [...list, route];
  });
}

/** @throws EditFault when the VPC or the route is not there */
export function withoutRoute(document: unknown, vpc: string, prefix: string): unknown {
  return replaceRoutes(document, vpc, (list) => without(list, { prefix }, `route of VPC "${vpc}"`));
}

function replaceRoutes(document: unknown, vpc: string, change: (list: readonly Row[]) => readonly Row[]): unknown {
  return replaceList(document, 'vpcs', (list) => {
    if (!list.some(({ name }) => name === vpc)) throw new EditFault('missing', `there is no VPC "${vpc}"`);
    return list.map((one) => (one.name === vpc ? replaceList(one, 'routes', change) : one)) as readonly Row[];
  });
}

/** What is not changed is shared with the old document. */
function replaceList(document: unknown, name: string, change: (list: readonly Row[]) => readonly Row[]): unknown {
  const object: Document = isObject(document) ? document : {};
  const list = object[name];
  return { ...object, [name]: change(Array.isArray(list) ? (list as readonly Row[]) : []) };
}

function without(list: readonly Row[], match: Match, what: string): readonly Row[] {
  const wanted = Object.entries(match).filter(([, value]) => value !== undefined);
  const found = list.filter((one) => wanted.every(([name, value]) => one[name] === value));
  const named = wanted.map(([name, value]) => `${name} ${value}`).join(', ');
  if (found.length === 0) throw new EditFault('missing', `there is no ${what} with ${named}`);
  if (found.length > 1) throw new EditFault('ambiguous', `${found.length} of them have ${named}; say more`);
  return list.filter((one) => one !== found[0]);
}
