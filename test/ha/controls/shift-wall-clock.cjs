// Preloaded into a gateway: SIGUSR2 sets its wall clock an hour back, SIGUSR2 again two hours ahead of that.
const now = Date.now.bind(Date);
let shift = 0;
Date.now = () => now() + shift;
process.on('SIGUSR2', () => {
  shift = shift < 0 ? 3_600_000 : -3_600_000;
});
