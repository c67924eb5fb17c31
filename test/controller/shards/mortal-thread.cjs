// A worker that answers once and then ends as it is told to.
const { parentPort, workerData } = require('node:worker_threads');

parentPort.on('message', (message) => {
  if (message.kind === 'start') parentPort.postMessage({ kind: 'started' });
  if (message.kind === 'ask' && message.request.url === '/die') {
    if (workerData.level === 'throws') throw new Error('something is broken');
    process.exit(7);
  }
  if (message.kind === 'ask')
    parentPort.postMessage({
      kind: 'answer',
      id: message.id,
      answer: { status: 200, body: new Uint8Array([message.id]) },
    });
  if (message.kind === 'close' && workerData.level !== 'stubborn') {
    parentPort.postMessage({ kind: 'closed' });
    parentPort.close();
  }
});
parentPort.postMessage({ kind: 'ready' });
