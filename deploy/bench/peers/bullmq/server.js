// The HTTP side: `queue.add` behind Fastify.
import { Queue } from 'bullmq';
import Fastify from 'fastify';
import { connection, queue } from './redis.js';

const jobs = new Queue(queue, { connection });
const app = Fastify();
app.post('/tasks', async (request, reply) => {
  const job = await jobs.add(request.body.name, request.body.args);
  return reply.code(202).send({ id: job.id, state: 'queued' });
});
await app.listen({ host: '127.0.0.1', port: Number(process.argv[2]) });
