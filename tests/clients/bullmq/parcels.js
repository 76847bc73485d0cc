// Sends parcels through Redis by BullMQ, with its OpenTelemetry add-on as its documentation says.
//
// usage: parcels.js work     does the work until it is killed, and writes down when it is ready
//        parcels.js order    places orders, all that there are, and ends
//
// Both connect to BROKER_URL and OTEL_EXPORTER_OTLP_ENDPOINT. What they do, they also write into the file
// JOURNAL, a line of JSON each, independently of spans.

const { appendFileSync } = require('node:fs');
const { randomUUID } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-proto');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { BatchSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');
const { Queue, UnrecoverableError, Worker } = require('bullmq');
const { BullMQOtel } = require('bullmq-otel');

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'parcels' }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter(), { scheduledDelayMillis: 200 })],
});
provider.register();

// Longer than the time limit of the definitions.
const TOO_LONG_MS = 6500;
const ATTEMPTS = 3;
const ORDERS = { fine: 20, retried: 4, broken: 3, hopeless: 2, slow: 2, removed: 2 };

const { hostname, port } = new URL(process.env.BROKER_URL);
const options = {
  connection: { host: hostname, port: Number(port) },
  telemetry: new BullMQOtel('parcels'),
};

function note(work, did) {
  const line = { work, kind: 'parcel', did, at: Date.now() / 1000 };
  appendFileSync(process.env.JOURNAL, `${JSON.stringify(line)}\n`);
}

async function placeOrders() {
  const queue = new Queue('parcels', options);
  for (const [kind, count] of Object.entries(ORDERS)) {
    for (let nth = 0; nth < count; nth += 1) {
      await place(queue, kind);
    }
  }
  await queue.close();
  await provider.shutdown();
}

async function place(queue, kind) {
  const order = randomUUID();
  note(order, 'published');
  const job = await queue.add('pack', kind, {
    jobId: order,
    attempts: ATTEMPTS,
    backoff: { type: 'fixed', delay: 200 },
    // Nobody takes it before it is gone.
    delay: kind === 'removed' ? 3_600_000 : 0,
  });
  if (kind === 'removed') {
    await job.remove();
    note(order, 'removed');
  }
}

async function pack(job) {
  const isLast = job.attemptsMade + 1 === ATTEMPTS;
  if (job.data === 'hopeless') {
    note(job.id, 'failed');
    throw new UnrecoverableError('no such address');
  }
  if (job.data === 'broken' || (job.data === 'retried' && !isLast)) {
    note(job.id, isLast ? 'failed' : 'retries');
    throw new Error('the scales are busy');
  }
  if (job.data === 'slow') {
    await sleep(TOO_LONG_MS);
  }
  note(job.id, 'succeeded');
}

async function work() {
  const worker = new Worker('parcels', pack, { ...options, concurrency: 5 });
  await worker.waitUntilReady();
  note('', 'ready');
}

({ work, order: placeOrders })[process.argv[2]]();
