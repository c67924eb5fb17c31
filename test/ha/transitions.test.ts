import fc from 'fast-check';
import {
  FAILOVER_EVENTS,
  FAILOVER_STATES,
  Failover,
  IllegalTransition,
  next,
  roleIn,
  speaksIn,
} from '../../src/ha/transitions';

/** The specification, as one line a transition. */
const ALLOWED = new Set([
  'INIT lease-won START',
  'START taken-over VIP_ACQUIRED',
  'VIP_ACQUIRED announced DONE',
  'DONE probe-passed E2E_CONN_DONE',
  'E2E_CONN_DONE probe-failed DONE',
  'START lease-lost INIT',
  'VIP_ACQUIRED lease-lost INIT',
  'DONE lease-lost INIT',
  'E2E_CONN_DONE lease-lost INIT',
]);

test('the_table_has_the_specified_transitions_and_no_other', () => {
  const found = FAILOVER_STATES.flatMap((state) =>
    FAILOVER_EVENTS.flatMap((event) => {
      const to = next(state, event);
      return to === null ? [] : [`${state} ${event} ${to}`];
    }),
  );
  expect(new Set(found)).toEqual(ALLOWED);
});

test('whatever_happens_a_gateway_speaks_only_between_taking_over_and_losing_the_lease', () => {
  const classes = { legal: 0, illegal: 0, spoke: 0, lost: 0 };
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...FAILOVER_EVENTS), { maxLength: 60, size: 'max' }), (events) => {
      let nowMs = 0;
      const failover = new Failover(() => nowMs++);
      let holds = false;
      let taken = false;
      for (const event of events) {
        const before = failover.state;
        const phases = [...failover.phases];
        try {
          const transition = failover.happen(event, 'test', 1);
          classes.legal++;
          expect(ALLOWED.has(`${before} ${event} ${failover.state}`)).toBe(true);
          expect(transition.from).toBe(before);
          if (event === 'lease-won') holds = true;
          if (event === 'taken-over') taken = true;
          if (event === 'lease-lost') {
            holds = taken = false;
            classes.lost++;
          }
        } catch (error) {
          if (!(error instanceof IllegalTransition)) throw error;
          classes.illegal++;
          expect(failover.state).toBe(before);
          expect([...failover.phases]).toEqual(phases);
        }
        expect(roleIn(failover.state)).toBe(holds ? 'active' : 'standby');
        expect(speaksIn(failover.state)).toBe(taken);
        if (taken) classes.spoke++;
      }
    }),
    { numRuns: 2000 },
  );
  for (const count of Object.values(classes)) expect(count).toBeGreaterThan(100);
});

test('phases_are_those_of_the_latest_takeover', () => {
  let nowMs = 0;
  const failover = new Failover(() => nowMs);
  const go = (event: (typeof FAILOVER_EVENTS)[number], atMs: number) => {
    nowMs = atMs;
    failover.happen(event, '', 1);
  };
  go('lease-won', 10);
  go('taken-over', 13);
  go('announced', 14);
  go('probe-passed', 20);
  go('probe-failed', 500);
  go('probe-passed', 600);
  expect(Object.fromEntries(failover.phases)).toEqual({ START: 0, VIP_ACQUIRED: 3, DONE: 4, E2E_CONN_DONE: 10 });
  go('lease-lost', 700);
  go('lease-won', 900);
  expect(Object.fromEntries(failover.phases)).toEqual({ START: 0 });
});
