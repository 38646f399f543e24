// The worker: a no-op that gives back its argument; results are kept. As many at once as Caraway's worker has slots.
import { Worker } from 'bullmq';
import { connection, queue } from './redis.js';

const worker = new Worker(queue, async (job) => job.data, { connection, concurrency: 256 });
process.on('SIGTERM', async () => {
  await worker.close();
  process.exit(0);
});
