/**
 * Faults of the gateway that are known and open. The model follows the gateway there, says so at the end of every
 * run, and goes back to what the contract says once an entry reads `fixed`.
 */
export const KNOWN: Readonly<Record<string, 'open' | 'fixed'>> = {
  /** Endpoints of address-and-port-dependent mappings do not rest (RFC 6888 REQ-8). */
  'F-C4': 'fixed',
  /** Filtering compares a caller inside by its private endpoint (RFC 4787 REQ-8, REQ-9). */
  'F-C2': 'fixed',
  /** An echo request to the identifier of an address-and-port-dependent mapping drops as `no-binding`. */
  'F-M1': 'fixed',
  /** ICMP errors that quote a whole datagram with fewer than 8 bytes behind its header drop as `malformed`. */
  'F-M2': 'fixed',
  /** Replies with TTL 1 of bypass sessions, and to addresses that a reload took from the pools, drop as `not-for-us`. */
  'F-M3': 'fixed',
  /** The table of mappings is as small as that of sessions, and full before it: `pool-exhausted`. */
  'F-M4': 'fixed',
  /** A SYN that waits behind an equal one is delivered, late, when the inside calls: none such is sent. */
  'F-M5': 'fixed',
  /** Protocols without ports get one try at an address: refused though another one is free. */
  'F-M6': 'fixed',
  /** A stranger's echo reply reaches the host with the public identifier: none such is sent. */
  'F-M7': 'fixed',
  /** An ICMP message of zeros alone leaves with a checksum of zero. */
  'F-M8': 'fixed',
  /** A mapping whose address left the pools once is not found from outside, though the address came back: no such packet is sent. */
  'F-M9': 'fixed',
};
