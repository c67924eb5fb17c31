// Preloaded into a gateway: SIGUSR2 keeps its event loop busy for three seconds, while the lcore goes on.
process.on('SIGUSR2', () => {
  const end = process.hrtime.bigint() + 3_000_000_000n;
  while (process.hrtime.bigint() < end);
});
