import { compile, nativeTemplate } from '../src/compiler/index.js';
import { compileContext } from '../src/controller/templates.js';
import { writeArguments } from '../src/nat/arguments.js';
import { emptyFacts, OUTSIDE_CONTEXT, type SessionFacts } from '../src/nat/session-table.js';
import { shapeList, shapesOf } from '../src/nat/shapes.js';
import { Topology } from '../src/nat/topology.js';
import type { NativeTemplate } from '../src/native/binding.js';
import { SessionClass } from '../src/native/records.js';
import { FIRST_SOURCE_PORT, type Fixture, REMOTE_PORT } from './fixture.js';

const ARGUMENTS_BYTES = 64;
const AGE_SECONDS = 300;

/** Both rules of a UDP session from a VPC to the outside, as the compiler makes them for a target. */
export function natRules(
  { config, scenario }: Fixture,
  target: string,
): { templates: [NativeTemplate, NativeTemplate]; arguments: Uint8Array } {
  const facts: SessionFacts = {
    ...emptyFacts(),
    protocol: 17,
    sessionClass: SessionClass.vpcToExternal,
    forwardContext: 0,
    forwardSource: scenario.privateBase,
    forwardSourcePort: FIRST_SOURCE_PORT,
    forwardDestination: scenario.remoteBase,
    forwardDestinationPort: REMOTE_PORT,
    reverseContext: OUTSIDE_CONTEXT,
    translatedSource: scenario.poolFirst,
    translatedSourcePort: FIRST_SOURCE_PORT + 1,
    translatedDestination: scenario.remoteBase,
    translatedDestinationPort: REMOTE_PORT,
  };
  const context = compileContext(config);
  const template = (shape: number): NativeTemplate => {
    const result = compile(shapeList(shape, config), target, context);
    if (!result.ok) throw new Error(`${target} refuses the bench's rules: ${result.diagnostics[0].message}`);
    return nativeTemplate(result.template);
  };
  const { ways } = new Topology(config);
  const forward = ways.find(facts.reverseContext, facts.translatedDestination);
  const reverse = ways.find(facts.forwardContext, facts.forwardSource);
  if (forward === null || reverse === null) throw new Error('the bench has no way to its own hosts');
  const out = new Uint8Array(2 * ARGUMENTS_BYTES);
  writeArguments(new Int32Array(out.buffer), 0, facts, forward, reverse, AGE_SECONDS);
  const shapes = shapesOf(facts);
  return { templates: [template(shapes & 0xffff), template(shapes >>> 16)], arguments: out };
}
