// Sends orders, one trace for each, with the OpenTelemetry SDK for Node as it is.
//
// usage: orders.js grpc|http ENDPOINT COUNT
//
// Every line read is a request, every line written says that it was done:
//     send      COUNT new orders, in batches as an application sends them
//     again     the same spans once more
//     shuffled  COUNT new orders, their spans in an order of no sense

import { createInterface } from 'node:readline';
import { SpanKind, context, trace } from '@opentelemetry/api';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as HttpExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

const [protocol, endpoint, count] = process.argv.slice(2);
const exporter =
  protocol === 'grpc'
    ? new GrpcExporter({ url: endpoint })
    : new HttpExporter({ url: `${endpoint}/v1/traces` });
const kept = new InMemorySpanExporter();
const sending = provider(new BatchSpanProcessor(exporter), new SimpleSpanProcessor(kept));

const requests = {
  send: async () => {
    place(sending);
    await sending.forceFlush();
  },
  again: () => send(kept.getFinishedSpans()),
  shuffled: async () => {
    const more = new InMemorySpanExporter();
    place(provider(new SimpleSpanProcessor(more)));
    // Every 17th span, again and again: 17 divides no number of spans that is sent here.
    const spans = more.getFinishedSpans();
    const shuffled = spans.map((_, nth) => spans[(nth * 17) % spans.length]);
    for (let at = 0; at < shuffled.length; at += 7) {
      await send(shuffled.slice(at, at + 7));
    }
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  await requests[line.trim()]();
  console.log('done');
}

function provider(...spanProcessors) {
  const resource = resourceFromAttributes({ 'service.name': 'shop' });
  return new NodeTracerProvider({ resource, spanProcessors });
}

// Of every four orders one fails.
function place(provider) {
  const tracer = provider.getTracer('shop');
  for (let nth = 0; nth < Number(count); nth += 1) {
    const placed = tracer.startSpan('order placed', { kind: SpanKind.PRODUCER });
    const inside = trace.setSpan(context.active(), placed);
    tracer.startSpan('payment taken', {}, inside).end();
    const ending = nth % 4 === 0 ? 'order failed' : 'order confirmed';
    tracer.startSpan(ending, { kind: SpanKind.CONSUMER }, inside).end();
    placed.end();
  }
}

function send(spans) {
  return new Promise((resolve, reject) => {
    exporter.export(spans, ({ code, error }) => (code === 0 ? resolve() : reject(error)));
  });
}
