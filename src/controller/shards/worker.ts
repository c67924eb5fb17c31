import { writeFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { FastifyInstance } from 'fastify';
import { destination, pino } from 'pino';
import { loadBinding } from '../../native/binding.js';
import { GatewayController } from '../gateway.js';
import { watchTemplates } from '../live-ports.js';
import { NatLogLines } from '../nat-log-lines.js';
import { RuleKeeper } from '../rule-keeper.js';
import { RunningEngine } from '../running-engine.js';
import { togetherOf } from '../together.js';
import type {
  EngineRequest,
  FollowStep,
  FromShard,
  RuleStep,
  ShardMeasures,
  ShardStart,
  StepAnswer,
  ToShard,
} from './messages.js';
import { SharedRuleCount } from './shared-rule-count.js';

// A shard's thread: its NAT engine beside its lcore, and what the control thread asks of them.

const start = workerData as ShardStart;
const { config, index, shards, peers, wantsPrecedence } = start;
if (parentPort === null) throw new Error('this is what a worker of ShardedGateway runs');
const control = parentPort;
const tell = (message: FromShard) => control.postMessage(message);

// What top and perf show it as (proc_tid_comm(5)); Node leaves its own name on every thread.
try {
  writeFileSync('/proc/thread-self/comm', `engine-${index}`);
} catch {}

const log = pino({ name: config.name, level: start.level }, destination(2)).child({ shard: index });
const binding = loadBinding(start.root);
const dataplane = new binding.Dataplane({ shardOf: start.shardOf, shard: index });
const { blocks, remotes } = dataplane;
const controller: GatewayController = new GatewayController(
  config,
  dataplane,
  start.target,
  true,
  config.nat.log === 'none' ? undefined : new NatLogLines(log, () => controller.config),
  () => performance.now(),
  {
    shard: {
      index,
      memory: { shards, limits: start.limits, blocks, remotes },
      mail: {
        toDealer: (message) => tell({ kind: 'mail', message }),
        toEngine: (to, message) => peers[to]?.postMessage(message),
      },
    },
    nicRules: new SharedRuleCount(start.nicRules),
  },
);
watchTemplates(controller.templates, log);
controller.templates.adopt(start.nic);
controller.onNeighbour = (port, address, mac) => tell({ kind: 'neighbour', neighbour: { port, address, mac } });
const place = { engines: shards, asksForNeighbours: index === 0, wantsPrecedence };
const engine = new RunningEngine(controller, binding, log, place);
const rules = new RuleKeeper(controller, () => engine.isRunning);
/** Loaded when somebody asks: it is most of what there would be to load before the first packet. */
let api: Promise<FastifyInstance> | null = null;
for (const peer of peers) peer?.on('message', (message) => engine.receive(message));

async function answer({ method, url, body }: EngineRequest) {
  api ??= import('../api/index.js').then(({ engineApi }) => engineApi(engine, log));
  const { statusCode, rawPayload } = await (await api).inject({ method, url, ...(body && { payload: body }) });
  return { status: statusCode, body: rawPayload };
}

function measures(): ShardMeasures {
  const { tally, poolUse, mappings } = controller.engine;
  return {
    sessions: [...tally.counts()],
    pools: [...poolUse],
    mappings: mappings.count,
    evictions: controller.evictions,
    ruleRetries: controller.ruleRetries,
    installFailures: [...controller.installFailures],
    statistics: engine.statistics(),
  };
}

async function lead(step: FollowStep | RuleStep): Promise<StepAnswer> {
  const together = togetherOf(controller.engine);
  switch (step.step) {
    case 'stand-still':
      return engine.standStill();
    case 'follow': {
      log.level = step.change.config.log.level;
      return engine.followTogether(step.change);
    }
    case 'go-on':
      return engine.goOn(step.leftOver);
    case 'left-over':
      return together.leftOver();
    case 'know':
      together.know(step.leftOver);
      return null;
    case 'own-rules':
      return rules.ownRules(step.port);
    case 'repair':
      return rules.repair(step.port, step.what, step.rules);
    case 'close-port':
      await rules.closePort(step.port);
      return null;
    case 'port-reopened':
      return rules.portReopened(step.port);
  }
}

control.on('message', (message: ToShard) => {
  switch (message.kind) {
    case 'start':
      engine.start();
      return tell({ kind: 'started' });
    case 'mail':
      return engine.receive(message.message);
    case 'neighbour':
      return engine.learn(message.neighbour.port, message.neighbour.address, message.neighbour.mac);
    case 'nic':
      return controller.adoptNic(message.nic);
    case 'measure':
      return tell({ kind: 'measures', id: message.id, answer: measures() });
    case 'ask': {
      const { id, request } = message;
      answer(request).then(
        (told) => tell({ kind: 'answer', id, answer: told }),
        (error: Error) => tell({ kind: 'failed', id, message: error.message }),
      );
      return;
    }
    case 'lead': {
      const { id, step } = message;
      lead(step).then(
        (told) => tell({ kind: 'led', id, answer: told }),
        (error: Error) => tell({ kind: 'failed', id, message: error.stack ?? error.message }),
      );
      return;
    }
    case 'close':
      engine.close();
      for (const peer of peers) peer?.close();
      tell({ kind: 'closed' });
      control.close();
  }
});

tell({ kind: 'ready' });
