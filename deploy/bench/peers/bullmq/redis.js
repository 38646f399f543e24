// The server of this run. BullMQ's workers want their commands repeated for ever.
const url = new URL(process.env.BENCH_REDIS);

export const queue = 'bench';
export const connection = {
  host: url.hostname,
  port: Number(url.port),
  password: url.password || undefined,
  maxRetriesPerRequest: null,
};
