"""Sends parcels through RabbitMQ by pika, instrumented as its documentation says.

usage: parcels.py work     does the work until it is killed, and writes down when it is ready
       parcels.py order    places orders, all that there are, and ends

Both are told by BROKER_URL and OTEL_EXPORTER_OTLP_ENDPOINT where to go. Whoever does something also
writes it into the file JOURNAL, a line of JSON each, and knows nothing of spans when doing so.
"""

import os
import signal
import sys
import time
import uuid

import pika
from opentelemetry.instrumentation.pika import PikaInstrumentor
from worker import TOO_LONG, keep_at_work, note, trace_as

ORDERS = (
    ["fine"] * 20
    + ["requeued"] * 3
    + ["refused"] * 3
    # Their worker dies once: before it has done anything, or when all is done but not acknowledged.
    + ["deadly before"] * 2
    + ["deadly after"] * 2
    # It dies every time, until the broker gives up.
    + ["deadly always"]
    + ["forgotten"] * 2
    + ["slow"] * 2
)


def open_channel():
    trace_as("parcels")
    PikaInstrumentor().instrument()
    channel = pika.BlockingConnection(pika.URLParameters(os.environ["BROKER_URL"])).channel()
    channel.queue_declare("orders", durable=True, arguments={
        "x-queue-type": "quorum",
        "x-delivery-limit": 2,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "refused",
    })
    channel.queue_declare("shipments")
    channel.queue_declare("refused")
    channel.basic_qos(prefetch_count=1)
    channel.confirm_delivery()
    return channel


def publish(channel, queue, kind, order):
    properties = pika.BasicProperties(message_id=str(uuid.uuid4()), correlation_id=order)
    channel.basic_publish("", queue, kind.encode(), properties)


def place_orders():
    channel = open_channel()
    for kind in ORDERS:
        order = str(uuid.uuid4())
        note(order, "parcel", "published")
        publish(channel, "orders", kind, order)
    channel.connection.close()


def pack():
    channel = open_channel()
    channel.basic_consume("orders", pack_one)
    note("", "worker", "ready")
    channel.start_consuming()


def pack_one(channel, method, properties, body):
    order, kind = properties.correlation_id, body.decode()
    if kind == "refused":
        note(order, "parcel", "refused")
        channel.basic_nack(method.delivery_tag, requeue=False)
        return
    if kind == "requeued" and not method.redelivered:
        note(order, "parcel", "requeued")
        channel.basic_nack(method.delivery_tag, requeue=True)
        return
    if kind == "deadly always" or (kind == "deadly before" and not method.redelivered):
        die(order)
    if kind == "slow":
        time.sleep(TOO_LONG)
    if kind != "forgotten":
        publish(channel, "shipments", kind, order)
    if kind == "deadly after" and not method.redelivered:
        die(order)
    note(order, "parcel", "forgot" if kind == "forgotten" else "packed")
    channel.basic_ack(method.delivery_tag)


def die(order):
    note(order, "parcel", "died of it")
    os.kill(os.getpid(), signal.SIGKILL)


def ship():
    channel = open_channel()
    shipped = set()

    def ship_one(channel, method, properties, _body):
        order = properties.correlation_id
        note(order, "parcel", "shipped again" if order in shipped else "succeeded")
        shipped.add(order)
        channel.basic_ack(method.delivery_tag)

    # A clerk gives up what was refused, or killed whoever touched it.
    def give_up(channel, method, properties, _body):
        note(properties.correlation_id, "parcel", "failed")
        channel.basic_ack(method.delivery_tag)

    channel.basic_consume("shipments", ship_one)
    channel.basic_consume("refused", give_up)
    channel.start_consuming()


def work():
    keep_at_work([pack, pack, ship])


{"work": work, "order": place_orders}[sys.argv[1]]()
