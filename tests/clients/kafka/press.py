"""A press that works through Kafka by confluent-kafka, instrumented as its documentation says.

usage: press.py work     does the work until it is killed, and writes down when it is ready
       press.py order    places orders, all that there are, and ends

Both are told by BROKER_URL and OTEL_EXPORTER_OTLP_ENDPOINT where to go. Whoever does something also
writes it into the file JOURNAL, a line of JSON each, and knows nothing of spans when doing so.
"""

import json
import multiprocessing
import os
import sys
import time
import uuid

import confluent_kafka
from opentelemetry.instrumentation.confluent_kafka import ConfluentKafkaInstrumentor
from worker import TOO_LONG, keep_at_work, note, trace_as

BATCH = 10
# Taken one by one, posted one by one.
POSTERS = ["fine"] * 12 + ["refused"] * 2 + ["forgotten"] * 2 + ["slow"]
# Taken in batches, posted one by one.
LETTERS = ["fine"] * 29 + ["refused"] * 4 + ["forgotten"] * 5 + ["slow"] * 2
# Taken in batches, each of which is posted as a whole.
LEAFLETS = ["fine"] * 20
# Taken in batches, and done with that.
PROOFS = ["fine"] * 20
KINDS = {"poster": POSTERS, "letter": LETTERS, "leaflet": LEAFLETS, "proof": PROOFS}


def producer():
    return confluent_kafka.Producer({"bootstrap.servers": os.environ["BROKER_URL"]})


def consumer(topic):
    settings = {
        "bootstrap.servers": os.environ["BROKER_URL"],
        "group.id": topic,
        "auto.offset.reset": "earliest",
    }
    # Asked about, it exists; records about one that does not would be taken for messages.
    producer().list_topics(topic, timeout=10)
    consumer = confluent_kafka.Consumer(settings)
    consumer.subscribe([topic], on_assign=lambda *_all: all_are_ready.wait())
    return consumer


def send(producer, topic, orders, kind):
    producer.produce(topic, json.dumps({"orders": orders, "kind": kind}))
    producer.flush()


def place_orders():
    out = producer()
    for work, kinds in KINDS.items():
        for kind in kinds:
            order = str(uuid.uuid4())
            note(order, work, "published")
            out.produce(f"{work}s", json.dumps({"orders": [order], "kind": kind}))
    out.flush()


def print_posters():
    source, out = consumer("posters"), producer()
    for task in one_by_one(source):
        print_one(out, "poster", task)


def print_letters():
    source, out = consumer("letters"), producer()
    for batch in batches(source):
        for task in batch:
            print_one(out, "letter", task)


def print_leaflets():
    source, out = consumer("leaflets"), producer()
    for batch in batches(source):
        orders = [order for task in batch for order in task["orders"]]
        send(out, "leaflets.printed", orders, "fine")


def read_proofs():
    source = consumer("proofs")
    for batch in batches(source):
        for task in batch:
            note(*task["orders"], "proof", "succeeded")


def print_one(out, work, task):
    [order], kind = task["orders"], task["kind"]
    if kind == "slow":
        time.sleep(TOO_LONG)
    if kind == "forgotten":
        note(order, work, "forgot")
    else:
        outcome = "refused" if kind == "refused" else "printed"
        note(order, work, outcome)
        send(out, f"{work}s.{outcome}", [order], kind)


def post(topic, work, did):
    def posting():
        for task in one_by_one(consumer(topic)):
            for order in task["orders"]:
                note(order, work, did)

    return posting


def one_by_one(source):
    while True:
        record = source.poll(1)
        if record and not record.error():
            yield json.loads(record.value())


def batches(source):
    while True:
        # As many as there will be, however long they take.
        records = source.consume(BATCH, timeout=60)
        yield [json.loads(record.value()) for record in records]


def traced(job):
    def tracing():
        trace_as("press")
        ConfluentKafkaInstrumentor().instrument()
        job()

    return tracing


JOBS = [
    print_posters,
    print_letters,
    print_leaflets,
    read_proofs,
    post("posters.printed", "poster", "succeeded"),
    post("posters.refused", "poster", "failed"),
    post("letters.printed", "letter", "succeeded"),
    post("letters.refused", "letter", "failed"),
    post("leaflets.printed", "leaflet", "succeeded"),
]
all_are_ready = multiprocessing.Barrier(len(JOBS), lambda: note("", "worker", "ready"))


def work():
    keep_at_work([traced(job) for job in JOBS])


{"work": work, "order": lambda: traced(place_orders)()}[sys.argv[1]]()
