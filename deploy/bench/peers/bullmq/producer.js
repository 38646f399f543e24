// Adds jobs in its own process. An order is a line: `add <at once> <milliseconds>` or `wait 1 <milliseconds>`, which
// also waits for each result; the answer is a line with how long each took, in microseconds.
import { createInterface } from 'node:readline';
import { Queue, QueueEvents } from 'bullmq';
import { connection, queue } from './redis.js';

const jobs = new Queue(queue, { connection });
const events = new QueueEvents(queue, { connection });
await Promise.all([jobs.waitUntilReady(), events.waitUntilReady()]);
console.log('ready');

for await (const order of createInterface({ input: process.stdin })) {
  const [what, atOnce, milliseconds] = order.split(' ');
  const latencies = [];
  const until = performance.now() + Number(milliseconds);
  const one = async () => {
    while (performance.now() < until) {
      const asked = performance.now();
      const job = await jobs.add('noop', { n: 1 });
      if (what === 'wait') await job.waitUntilFinished(events);
      latencies.push(Math.round((performance.now() - asked) * 1000));
    }
  };
  await Promise.all(Array.from({ length: Number(atOnce) }, one));
  console.log(JSON.stringify({ latencies_us: latencies }));
}
