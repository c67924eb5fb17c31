/** The terms of a filter, for the manual: how each is written, and which flows it takes. */
export const FILTER_TERMS: readonly (readonly [term: string, takes: string])[] = [
  ['vpc NAME', 'flows whose inside host is of that VPC; a name with brackets or signs stands in "quotes"'],
  ['proto tcp|udp|icmp|N', 'flows of that protocol, by name or IANA number'],
  ['class CLASS', 'vpc-to-vpc, vpc-to-external, external-to-vpc, site-to-site or hairpin'],
  ['state STATE', 'the TCP state, e.g. established; active for other protocols'],
  ['path PATH', 'flows of which either direction is offloaded, software, pending or failed'],
  ['reason CODE', 'flows of which either direction is not in the NIC for that reason, e.g. few-packets'],
  ['forward|reverse path|reason …', 'the same of one direction; forward is the initiator’s'],
  ['inside|nat|remote host ADDRESS', 'by one end: the private one, the public one, or whom it talks to'],
  ['inside|nat|remote net PREFIX', 'the same by prefix'],
  ['inside|nat|remote port N or N-M', 'the same by port; of ICMP echo the identifier'],
  ['inside|nat|remote endpoint ADDRESS:PORT', 'the same by both'],
  ['host, net, port, endpoint …', 'without an end: any of the three may fit'],
  ['id ID', 'one flow'],
  ['vni N', 'flows of that VXLAN'],
  ['packets|bytes < N', 'by amount, both directions together; also <=, =, >= and >; 10k, 5m, 1g'],
  ['age|idle|expires > TIME', 'by time: 500ms, 30s, 5m, 2h'],
];
