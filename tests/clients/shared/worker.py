"""What every worker in Python does besides its work: it traces, and writes down what it did."""

import json
import os
import time

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

# Longer than the promise of the definitions.
TOO_LONG = 6.5


def trace_as(service):
    """Each span is sent at once: a process that dies takes no span along that has ended."""
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def note(work, kind, did):
    line = json.dumps({"work": work, "kind": kind, "did": did, "at": time.time()}) + "\n"
    journal = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, line.encode())
    os.close(journal)


def keep_at_work(jobs):
    """Runs each job in a process of its own, and in a new one whenever that dies."""
    running = {start(job): job for job in jobs}
    while True:
        ended, _status = os.wait()
        job = running.pop(ended)
        running[start(job)] = job


def start(job):
    process = os.fork()
    if process == 0:
        job()
        # Only a parent goes on.
        os._exit(0)
    return process
