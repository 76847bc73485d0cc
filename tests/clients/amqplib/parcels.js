// Sends parcels through RabbitMQ by amqplib, instrumented as its documentation says.
//
// usage: parcels.js work     does the work until it is killed, and writes down when it is ready
//        parcels.js order    places orders, all that there are, and ends
//
// Both are told by BROKER_URL and OTEL_EXPORTER_OTLP_ENDPOINT where to go. Whoever does something also
// writes it into the file JOURNAL, a line of JSON each, and knows nothing of spans when doing so.

const { appendFileSync } = require('node:fs');
const { randomUUID } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-proto');
const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { AmqplibInstrumentation } = require('@opentelemetry/instrumentation-amqplib');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { BatchSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'parcels' }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter(), { scheduledDelayMillis: 200 })],
});
provider.register();
registerInstrumentations({
  instrumentations: [
    new AmqplibInstrumentation({ useLinksForConsume: 'SPAN_LINKS' in process.env }),
  ],
});
// Only what is loaded from here on is instrumented.
const amqplib = require('amqplib');

// Longer than the promise of the definitions.
const TOO_LONG_MS = 6500;
const ORDERS = { fine: 20, requeued: 4, refused: 3, slow: 2, forgotten: 2 };

function note(work, did) {
  const line = { work, kind: 'parcel', did, at: Date.now() / 1000 };
  appendFileSync(process.env.JOURNAL, `${JSON.stringify(line)}\n`);
}

async function open() {
  const connection = await amqplib.connect(process.env.BROKER_URL);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('refused');
  await channel.assertQueue('orders', { deadLetterExchange: '', deadLetterRoutingKey: 'refused' });
  await channel.assertQueue('shipments');
  return { connection, channel };
}

function publish(channel, queue, content, order) {
  const properties = { messageId: randomUUID(), correlationId: order };
  channel.publish('', queue, Buffer.from(content), properties);
}

async function placeOrders() {
  const { connection, channel } = await open();
  for (const [kind, count] of Object.entries(ORDERS)) {
    for (let nth = 0; nth < count; nth += 1) {
      const order = randomUUID();
      note(order, 'published');
      publish(channel, 'orders', kind, order);
    }
  }
  await channel.waitForConfirms();
  await connection.close();
  await provider.shutdown();
}

async function work() {
  const { channel } = await open();
  await channel.consume('orders', (message) => pack(channel, message));
  await channel.consume('shipments', (message) => {
    note(message.properties.correlationId, 'succeeded');
    channel.ack(message);
  });
  // A clerk reads what was refused; that makes no order good.
  await channel.consume('refused', (message) => {
    note(message.properties.correlationId, 'read');
    channel.ack(message);
  });
  note('', 'ready');
}

async function pack(channel, message) {
  const order = message.properties.correlationId;
  const kind = message.content.toString();
  if (kind === 'refused') {
    note(order, 'failed');
    channel.nack(message, false, false);
  } else if (kind === 'requeued' && !message.fields.redelivered) {
    note(order, 'requeued');
    channel.nack(message, false, true);
  } else if (kind === 'forgotten') {
    note(order, 'forgot');
    channel.ack(message);
  } else {
    if (kind === 'slow') {
      await sleep(TOO_LONG_MS);
    }
    publish(channel, 'shipments', kind, order);
    note(order, 'packed');
    channel.ack(message);
  }
}

({ work, order: placeOrders })[process.argv[2]]();
