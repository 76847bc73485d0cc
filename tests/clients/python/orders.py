"""Sends orders, one trace for each, with the OpenTelemetry SDK for Python as it is.

usage: orders.py grpc|http ENDPOINT COUNT

Every line read is a request, every line written says that it was done:
    send      COUNT new orders, in batches as an application sends them
    again     the same spans once more
    shuffled  COUNT new orders, their spans in an order of no sense
"""

import random
import sys

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind


def main():
    protocol, endpoint, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    exporter = exporter_of(protocol, endpoint)
    kept = InMemorySpanExporter()
    sending = provider(BatchSpanProcessor(exporter), SimpleSpanProcessor(kept))
    for line in sys.stdin:
        if line.strip() == "send":
            place(sending, count)
            assert sending.force_flush()
        elif line.strip() == "again":
            export(exporter, kept.get_finished_spans())
        elif line.strip() == "shuffled":
            more = InMemorySpanExporter()
            place(provider(SimpleSpanProcessor(more)), count)
            spans = list(more.get_finished_spans())
            random.Random(7).shuffle(spans)
            for at in range(0, len(spans), 7):
                export(exporter, spans[at : at + 7])
        else:
            sys.exit(f"no such request: {line!r}")
        print("done", flush=True)


def exporter_of(protocol, endpoint):
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http:"))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")


def provider(*processors):
    made = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    for processor in processors:
        made.add_span_processor(processor)
    return made


def place(provider, count):
    """Of every four orders one fails."""
    tracer = provider.get_tracer("shop")
    for nth in range(count):
        ending = "order failed" if nth % 4 == 0 else "order confirmed"
        with tracer.start_as_current_span("order placed", kind=SpanKind.PRODUCER):
            with tracer.start_as_current_span("payment taken"):
                with tracer.start_as_current_span(ending, kind=SpanKind.CONSUMER):
                    pass


def export(exporter, spans):
    assert exporter.export(spans) is SpanExportResult.SUCCESS


main()
