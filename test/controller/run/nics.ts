import { targets } from '../../../src/compiler/index.js';

/** A software NIC as faulty, slow, small or limited as one may be. */
export interface Nic {
  readonly name: string;
  /** Behind those of the fixture's devices. */
  readonly deviceArguments: string;
  /** offload.maxRules; absent: more than all flows need. */
  readonly maxRules?: number;
  /** offload.mode { afterPackets }; absent: immediate. */
  readonly afterPackets?: number;
  /** offload.evictionsPerSecond; absent: as usual. */
  readonly evictionsPerSecond?: number;
  /** Part of the rules that it may leave in software for good, since it refused them five times; absent: a tenth. */
  readonly givenUp?: number;
}

const FAULTS = [
  ['', ''],
  [' that refuses each 7th rule', ',fail_every=7'],
  [' that is late', ',insert_latency=150'],
  [' that is late and refuses each 7th rule', ',insert_latency=150,fail_every=7'],
  [' of 100 rules', ',max_rules=100'],
  [' of 100 rules that refuses each 7th', ',max_rules=100,fail_every=7'],
  [' of 100 rules that is late and refuses each 7th', ',max_rules=100,insert_latency=150,fail_every=7'],
] as const;

/** What the configuration says beside. */
const SETTINGS: readonly Nic[] = [
  { name: 'softflow, 150 rules in the configuration', deviceArguments: '', maxRules: 150 },
  { name: 'softflow after 3 packets', deviceArguments: ',fail_every=11', afterPackets: 3 },
  { name: 'softflow that refuses each 2nd rule', deviceArguments: ',fail_every=2', givenUp: 0.3 },
];

function nicOf(profile: string): Nic[] {
  const own = profile === 'softflow' ? '' : `,profile=${profile}`;
  return FAULTS.map(([words, faults]) => ({ name: `${profile}${words}`, deviceArguments: `${own}${faults}` }));
}

/** Every profile with every fault. */
export function allNics(): Nic[] {
  const profiles = [...targets().values()].filter(({ kind }) => kind === 'nic').map(({ name }) => name);
  return [...SETTINGS, ...profiles.flatMap(nicOf)];
}

/** A NIC without limits, one of template tables and one of single calls: with every fault; and one that cannot. */
export function fewNics(): Nic[] {
  const [late] = FAULTS.slice(3);
  const one = (profile: string): Nic => ({ name: profile, deviceArguments: `,profile=${profile}` });
  return [
    ...SETTINGS,
    ...nicOf('softflow'),
    { name: `mlx5-hws${late[0]}`, deviceArguments: `,profile=mlx5-hws${late[1]}` },
    one('enic'),
  ];
}
