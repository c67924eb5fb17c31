import { closeAll } from './pair.js';
import { RedisServer, stopAll } from './redis-servers.js';

/** Whatever a test has opened and started ends with it. */
export function endWithEachTest(): void {
  afterEach(async () => {
    closeAll();
    await stopAll();
  });
}

/** A server of its own for each test. */
export function startForEachTest(use: (server: RedisServer) => void): void {
  beforeEach(async () => use(await RedisServer.start()));
  endWithEachTest();
}

/** One server for all tests of a file, empty before each. */
export function startForAllTests(use: (server: RedisServer) => void): void {
  let server: RedisServer;
  afterEach(closeAll);
  afterAll(stopAll);
  beforeAll(async () => {
    server = await RedisServer.start();
    use(server);
  });
  beforeEach(() => server.with((client) => client.flushall()));
}
