import { allowedCpus, ealArguments } from '../../src/native/eal.js';

function argument(args: readonly string[], name: string): string {
  return args[args.indexOf(name) + 1];
}

describe('arguments of EAL', () => {
  test.each([
    ['0-1', [0, 1]],
    ['3', [3]],
    ['0,4-6,9', [0, 4, 5, 6, 9]],
  ])('the CPUs %s are read from the process status', (list, cpus) => {
    expect(allowedCpus(`Name:\tnode\nCpus_allowed:\t3\nCpus_allowed_list:\t${list}\nMems_allowed:\t1\n`)).toEqual(cpus);
  });

  test('a status that names no CPUs means the first', () => {
    expect(allowedCpus('Name:\tnode\n')).toEqual([0]);
  });

  test.each([
    [[0, 1], '0@0,1@1'],
    [[6, 7, 8], '0@6,1@7'],
    [[5], '0@5,1@5'],
  ])('two lcores take the CPUs %j that the process may use', (cpus, lcores) => {
    expect(argument(ealArguments('/', { memoryMb: 64, lcores: 2, pci: [], cpus }), '--lcores')).toBe(lcores);
  });

  test('only the PCI devices of the configuration are probed, and none without one', () => {
    const args = ealArguments('/', { memoryMb: 64, lcores: 1, pci: ['0000:03:00.0', '0000:03:00.1'], cpus: [0] });
    expect(args.filter((_, index) => args[index - 1] === '-a')).toEqual(['0000:03:00.0', '0000:03:00.1']);
    expect(args).not.toContain('--no-pci');
    expect(ealArguments('/', { memoryMb: 64, lcores: 1, pci: [], cpus: [0] })).toContain('--no-pci');
  });
});
