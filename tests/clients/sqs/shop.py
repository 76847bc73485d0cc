"""A shop that works through SQS by boto3, instrumented as the documentation of its instrumentation says.

usage: shop.py work     does the work until it is killed, and writes down when it is ready
       shop.py order    places orders, all that there are, and ends

Both are told by BROKER_URL and OTEL_EXPORTER_OTLP_ENDPOINT where to go. Whoever does something also
writes it into the file JOURNAL, a line of JSON each, and knows nothing of spans when doing so.
"""

import json
import os
import sys
import time
import uuid

import boto3
from opentelemetry import trace
from opentelemetry.instrumentation.boto3sqs import Boto3SQSInstrumentor
from worker import TOO_LONG, keep_at_work, note, trace_as

# Each of these lists is one request of a customer, and one batch of messages.
CARTS = [["fine"] * 10, ["fine"] * 6 + ["returned"] * 2 + ["refused"] * 2]
# These are sent one by one.
ORDERS = ["fine"] * 5 + ["returned", "refused", "forgotten", "forgotten", "slow"]
ERRANDS = ["fine"] * 8 + ["returned"] * 2


def connect():
    trace_as("shop")
    Boto3SQSInstrumentor().instrument()
    return client()


def client():
    return boto3.client(
        "sqs",
        endpoint_url=os.environ["BROKER_URL"],
        region_name="eu-west-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )


def declare(sqs):
    queue("refused", sqs)
    arn = sqs.get_queue_attributes(QueueUrl=url("refused"), AttributeNames=["QueueArn"])
    redrive = {"deadLetterTargetArn": arn["Attributes"]["QueueArn"], "maxReceiveCount": "2"}
    queue("orders", sqs, RedrivePolicy=json.dumps(redrive))
    queue("shipments", sqs)
    queue("jobs", sqs)


def queue(name, sqs, **attributes):
    sqs.create_queue(QueueName=name, Attributes=attributes)


def url(name):
    return f"{os.environ['BROKER_URL']}/123456789012/{name}"


def message(kind, order):
    return json.dumps({"kind": kind, "order": order})


def place_orders():
    sqs = connect()
    tracer = trace.get_tracer("shop")
    for kinds in CARTS:
        with tracer.start_as_current_span("POST /cart", kind=trace.SpanKind.SERVER):
            place_together(sqs, kinds)
    for kind in ORDERS:
        order = str(uuid.uuid4())
        note(order, "order", "published")
        sqs.send_message(QueueUrl=url("orders"), MessageBody=message(kind, order))
    with tracer.start_as_current_span("POST /jobs", kind=trace.SpanKind.SERVER):
        entries = [{"Id": str(nth), "MessageBody": kind} for nth, kind in enumerate(ERRANDS)]
        sent = sqs.send_message_batch(QueueUrl=url("jobs"), Entries=entries)
        for one in sent["Successful"]:
            note(one["MessageId"], "job", "published")


def place_together(sqs, kinds):
    entries = []
    for nth, kind in enumerate(kinds):
        order = str(uuid.uuid4())
        note(order, "order", "published")
        entries.append({"Id": str(nth), "MessageBody": message(kind, order)})
    sqs.send_message_batch(QueueUrl=url("orders"), Entries=entries)


def pack():
    sqs = connect()
    note("", "worker", "ready")
    for received in messages(sqs, "orders"):
        task = json.loads(received["Body"])
        order, kind = task["order"], task["kind"]
        if kind == "refused" or (kind == "returned" and is_first(received)):
            note(order, "order", "returned")
            give_back(sqs, "orders", received)
            continue
        if kind == "slow":
            time.sleep(TOO_LONG)
        if kind != "forgotten":
            sqs.send_message(QueueUrl=url("shipments"), MessageBody=message(kind, order))
        note(order, "order", "forgot" if kind == "forgotten" else "packed")
        acknowledge(sqs, "orders", received)


def ship():
    sqs = connect()
    for received in messages(sqs, "shipments"):
        note(json.loads(received["Body"])["order"], "order", "succeeded")
        acknowledge(sqs, "shipments", received)


def give_up():
    sqs = connect()
    for received in messages(sqs, "refused"):
        note(json.loads(received["Body"])["order"], "order", "failed")
        acknowledge(sqs, "refused", received)


def run_jobs():
    sqs = connect()
    for received in messages(sqs, "jobs"):
        if received["Body"] == "returned" and is_first(received):
            give_back(sqs, "jobs", received)
            continue
        note(received["MessageId"], "job", "succeeded")
        acknowledge(sqs, "jobs", received)


def messages(sqs, queue):
    while True:
        received = sqs.receive_message(
            QueueUrl=url(queue),
            AttributeNames=["ApproximateReceiveCount"],
            MaxNumberOfMessages=10,
        )
        yield from received.get("Messages", [])
        # Here and not in the server, which would be busy with it.
        time.sleep(0.2)


def is_first(received):
    return received["Attributes"]["ApproximateReceiveCount"] == "1"


def give_back(sqs, queue, received):
    handle = received["ReceiptHandle"]
    sqs.change_message_visibility(QueueUrl=url(queue), ReceiptHandle=handle, VisibilityTimeout=0)


def acknowledge(sqs, queue, received):
    sqs.delete_message(QueueUrl=url(queue), ReceiptHandle=received["ReceiptHandle"])


def work():
    declare(client())
    keep_at_work([pack, ship, give_up, run_jobs])


{"work": work, "order": place_orders}[sys.argv[1]]()
