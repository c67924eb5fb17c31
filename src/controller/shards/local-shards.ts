import type { ValidatedConfig } from '../../config/types.js';
import { rowsOfShard } from '../../nat/shards/shared-state.js';
import type { Dataplane, DataplaneOptions, DataplaneStatistics, NativeBinding } from '../../native/binding.js';
import type { ControllerSeat, GatewayController } from '../gateway.js';
import { RuleCount } from '../rule-count.js';
import { togetherOf } from '../together.js';
import { LocalMail } from './local-mail.js';
import { configOfShard } from './shard-seeds.js';
import { type ShardSetup, setUpShards, shardOptions } from './shard-setup.js';
import { SharedConfig } from './shared-config.js';
import { sumStatistics } from './sum-statistics.js';

/** Makes a shard's controller. @param seat Null: it is alone. */
export type NewController = (
  config: ValidatedConfig,
  dataplane: Dataplane,
  seat: ControllerSeat | null,
) => GatewayController;

/** The shards of one gateway, or its only one, in one thread: a replay's. */
export class LocalShards {
  readonly controllers: readonly GatewayController[];
  private readonly mail: LocalMail | null = null;
  /** Null: there is one. */
  readonly shared: SharedConfig | null = null;

  /** @param options Sessions are those of all shards. @throws NativeError @throws RangeError */
  constructor(
    config: ValidatedConfig,
    binding: NativeBinding,
    options: DataplaneOptions,
    shards: number,
    newController: NewController,
  ) {
    if (shards === 1) {
      this.controllers = [newController(config, new binding.Dataplane(options), null)];
      return;
    }
    const maxSessions = rowsOfShard(options.maxSessions, shards);
    const first = new binding.Dataplane({ ...options, maxSessions, shards: shardOptions(config, shards) });
    const controllers: GatewayController[] = [];
    const mail = new LocalMail(
      (shard, message) => controllers[shard].receive(message),
      (message) => setup.dealer.receive(message),
    );
    const setup: ShardSetup = setUpShards(config, shards, first, mail);
    const nicRules = new RuleCount();
    for (let index = 0; index < shards; index++) {
      const dataplane = index === 0 ? first : new binding.Dataplane({ shardOf: first.id, shard: index });
      const { blocks, remotes } = dataplane;
      const isStillUsed = (address: number) => controllers.some(({ engine }) => engine.usesStill(address));
      const shard = { index, memory: { ...setup.memory, blocks, remotes }, mail, isStillUsed };
      const own = configOfShard(config, setup.seeds.engines[index]);
      const controller = newController(own, dataplane, { shard, nicRules });
      controller.onNeighbour = (port, address, mac) => {
        for (let to = 0; to < shards; to++)
          if (to !== index) mail.toEngine(to, { kind: 'neighbour', port, address, mac });
      };
      controllers.push(controller);
    }
    this.controllers = controllers;
    this.mail = mail;
    this.shared = new SharedConfig(config, setup.memory.limits, setup.dealer);
  }

  /** Has the ports, and runs captures for all. */
  get first(): GatewayController {
    return this.controllers[0];
  }

  /**
   * Handles what waits until nothing moves. Decisions find room: first packets that wait for an answer are held, and a
   * decision ring has more slots than packets can be.
   */
  handleEvents(): void {
    for (const controller of this.controllers) controller.handleEvents();
    this.mail?.deliverAll();
  }

  /** Follows another configuration, between two packets; sessions follow when they are reviewed. */
  reconfigure(config: ValidatedConfig): void {
    const { shared, controllers, first } = this;
    if (shared === null) return first.reconfigure(config);
    const changes = shared.change(
      config,
      controllers.map(({ engine }) => togetherOf(engine).holdings()),
    );
    const left = shared.keep(controllers.map((controller, shard) => controller.followTogether(changes[shard])));
    first.dataplane.steerBy(shared.steering);
    for (const { engine } of controllers) togetherOf(engine).know(left);
    this.handleEvents();
  }

  statistics(): DataplaneStatistics {
    return sumStatistics(this.controllers.map(({ dataplane }) => dataplane.statistics()));
  }
}
