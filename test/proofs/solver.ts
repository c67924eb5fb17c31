import { type BitVec, type Bool, type Context, init } from 'z3-solver';

/** Bit vectors and truth values of one solver context. */
export type Z = Context<'proofs'>;
export type Bits = BitVec<number, 'proofs'>;
export type Truth = Bool<'proofs'>;

/**
 * Steps of the solver for one proof: an answer that does not come is no proof. The hardest takes 5 million. Not a time, which
 * on a busy machine passes without any step.
 */
const LIMIT_STEPS = 100_000_000;

let started: ReturnType<typeof init> | null = null;

/** The solver; it starts once a process. */
export async function solver(): Promise<Z> {
  started ??= init();
  const { Context: make } = await started;
  return make('proofs');
}

/** Ends the solver's threads, which would keep the process alive. */
export async function stopSolver(): Promise<void> {
  if (started === null) return;
  const { em } = await started;
  em.PThread.terminateAllThreads();
}

/** null: holds for all values. Otherwise a counterexample as text. */
export async function refutation(z: Z, claim: Truth, ...premises: Truth[]): Promise<string | null> {
  const one = new z.Solver();
  one.set('rlimit', LIMIT_STEPS);
  for (const premise of premises) one.add(premise);
  one.add(z.Not(claim));
  const answer = await one.check();
  if (answer === 'unsat') return null;
  return answer === 'sat' ? one.model().toString() : 'unknown';
}

/** Whether the premises can all be true: a proof from a contradiction proves nothing. */
export async function satisfiable(z: Z, ...premises: Truth[]): Promise<boolean> {
  const one = new z.Solver();
  for (const premise of premises) one.add(premise);
  return (await one.check()) === 'sat';
}

/** That a field holds a number. */
export const is = (z: Z, field: Bits, value: number): Truth => field.eq(z.BitVec.val(value, field.size()));
