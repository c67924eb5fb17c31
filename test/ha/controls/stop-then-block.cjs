// Preloaded into a gateway: SIGUSR2 stops the whole process from within its event loop, so that once it goes on the lcore is free and the event loop stays busy for half a second of running.
process.on('SIGUSR2', () => {
  process.kill(process.pid, 'SIGSTOP');
  let ran = 0n;
  for (let last = process.hrtime.bigint(); ran < 500_000_000n; ) {
    const now = process.hrtime.bigint();
    // A step of more than a millisecond is time in which this thread did not run, the stop above all.
    if (now - last < 1_000_000n) ran += now - last;
    last = now;
  }
});
