"""A shop whose work Celery does, instrumented as the documentation of its instrumentation says.

usage: celery --app shop worker    does the work, and writes down when it is ready
       shop.py                     places orders, all that there are, and ends

Both are told by BROKER_URL and OTEL_EXPORTER_OTLP_ENDPOINT where to go. Whoever does something also
writes it into the file JOURNAL, a line of JSON each, and knows nothing of spans when doing so.
"""

import os
import time
import uuid
from functools import wraps

from celery import Celery, chain
from celery.exceptions import Retry
from celery.signals import worker_process_init, worker_ready
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from worker import TOO_LONG, note, trace_as

app = Celery("shop", broker=os.environ["BROKER_URL"])
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True


@worker_process_init.connect(weak=False)
def trace_tasks(*_args, **_kwargs):
    trace_as("shop")
    CeleryInstrumentor().instrument(use_span_links="SPAN_LINKS" in os.environ)


@worker_ready.connect(weak=False)
def say_so(*_args, **_kwargs):
    note("", "worker", "ready")


def task(name):
    """A task that writes down how each of its attempts ended."""

    def decorate(work):
        @app.task(name=name, bind=True, max_retries=2)
        @wraps(work)
        def attempt(self, order):
            kind = name.split(".")[0]
            note(order, kind, f"began {name}")
            try:
                work(self)
            except Retry:
                note(order, kind, f"retries {name}")
                raise
            except Exception:
                note(order, kind, "failed")
                raise
            # Of a chain only the end is the end.
            note(order, kind, f"ended {name}" if name in BEFORE_THE_LAST else "succeeded")

        return attempt

    return decorate


BEFORE_THE_LAST = {"checkout.reserve", "checkout.charge", "checkout.decline"}


@task("parcel.pack")
def pack(self):
    pass


@task("parcel.weigh")
def weigh(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.2, exc=ValueError("the scales are busy"))


@task("parcel.label")
def label(self):
    raise ValueError("no such address")


@task("parcel.call_carrier")
def call_carrier(self):
    raise self.retry(countdown=0.2, exc=ValueError("nobody answers"))


@task("parcel.load")
def load(self):
    time.sleep(TOO_LONG)


@task("parcel.burn")
def burn(self):
    os._exit(1)


@task("checkout.reserve")
def reserve(self):
    pass


@task("checkout.charge")
def charge(self):
    pass


@task("checkout.decline")
def decline(self):
    raise ValueError("the card is stolen")


@task("checkout.ship")
def ship(self):
    pass


def place_orders():
    trace_tasks()
    orders = [pack] * 20 + [weigh] * 4 + [label] * 3 + [call_carrier] * 2 + [load] * 2 + [burn]
    for work in orders:
        order = str(uuid.uuid4())
        note(order, "parcel", "published")
        work.apply_async([order], task_id=order)
    for paying in [charge] * 5 + [decline] * 2:
        order = str(uuid.uuid4())
        note(order, "checkout", "published")
        chain(step.si(order) for step in [reserve, paying, ship])()


if __name__ == "__main__":
    place_orders()
