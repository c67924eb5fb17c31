import type { Target } from '../compiler/target.js';
import type { ProbedRule, ProbeReport } from '../controller/nic-probe.js';
import { UserFault } from './errors.js';

const MEMORY_MB = 128;
const SLOTS = 64;

export interface ProbeOptions {
  readonly devices: readonly string[];
  /** Null: by the device's driver. */
  readonly target: string | null;
}

/**
 * Opens one or two devices, tries the target's table in the first, and closes them.
 *
 * @throws UserFault when a device cannot be opened, or no table is of its driver
 */
export async function probeDevices({ devices, target: wanted }: ProbeOptions): Promise<ProbeReport> {
  const { packageRoot } = await import('../config/package-root.js');
  const { loadBinding } = await import('../native/binding.js');
  const { ealArguments } = await import('../native/eal.js');
  const { devargsOf, isPciAddress, openDevice } = await import('../controller/devices.js');
  const { nicTarget } = await import('../controller/nic-target.js');
  const { nativePorts } = await import('../controller/native-ports.js');
  const { compileContext } = await import('../controller/templates.js');
  const { probeNic } = await import('../controller/nic-probe.js');
  const { releaseOf, targetNamed } = await import('../compiler/target.js');
  const { sampleConfig, sampleShapes } = await import('./sample-shapes.js');

  const root = packageRoot();
  const binding = loadBinding(root);
  binding.startEal(ealArguments(root, { memoryMb: MEMORY_MB, lcores: 1, pci: devices.filter(isPciAddress) }));
  const config = sampleConfig();
  const names = devices.map((device) => openDevice(binding, '--probe', device));
  const driver = binding.driverOf(names[0]);
  const dpdk = binding.dpdkVersion();
  const name = nicTarget(wanted ?? 'auto', driver, devargsOf(devices[0]), releaseOf(dpdk));
  const target: Target | null = name === null ? null : targetNamed(name);
  if (target === null) {
    throw UserFault.of(
      '--probe',
      `no table is of the driver ${driver}`,
      'name one: sluice targets NAME --probe DEVICE',
    );
  }
  const ports = nativePorts(config, names).slice(0, names.length);
  const dataplane = new binding.Dataplane({
    ports: ports.map((port) => ({ ...port, mtu: 1500 })),
    underlay: config.underlay,
    maxSessions: SLOTS,
    maxHeld: SLOTS,
    eventSlots: SLOTS,
    decisionSlots: SLOTS,
    replay: false,
  });
  try {
    const lists = sampleShapes()
      .filter(({ protocol }) => protocol !== 'icmp')
      .map(({ list }) => list);
    const found = probeNic(dataplane, names.length, target, compileContext(config), lists);
    return { target: name ?? target.name, device: devices.join(' '), driver, dpdk, ...found };
  } finally {
    dataplane.close();
  }
}

/** The report for people: what differs from the table, and how much does not. */
export function probeText(report: ProbeReport): string {
  const { target, device, driver, dpdk, calls, tried, agree, rules } = report;
  const differing = rules.filter(({ agrees }) => !agrees);
  const parts = [...new Set(rules.map(({ part }) => part))].map((part) => {
    const of = rules.filter((rule) => rule.part === part);
    const taken = of.filter((rule) => rule.device === 'takes').length;
    return `  ${part}s: ${of.length} tried, ${taken} taken, ${of.filter(({ agrees }) => agrees).length} as the table says`;
  });
  return [
    `${device}: driver ${driver}, ${dpdk}, ${calls}; compared with the table of ${target}`,
    `${tried} rules created, queried and destroyed, or refused: ${agree} as the table says`,
    ...parts,
    ...differing.flatMap(differenceText),
    '',
  ].join('\n');
}

function differenceText({ part, name, table, device, error, flaws, testpmd }: ProbedRule): string[] {
  const what = device === table ? flaws.join(', ') : `the table ${table} it, the device ${device} it`;
  const why = error === undefined ? '' : `: ${error.message}`;
  return [`${part} ${name}: ${what}${why}`, ...testpmd.map((line) => `    ${line}`)];
}
