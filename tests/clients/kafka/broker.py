"""A Kafka cluster of one broker, as librdkafka brings it along for tests, until it is killed.

usage: broker.py FILE    writes its address into FILE when it can be reached
"""

import sys
import time
from pathlib import Path

from confluent_kafka import Producer

# The cluster lives in the client that asks for it; others reach it as they would any.
client = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1})
[broker] = client.list_topics(timeout=10).brokers.values()
file = Path(sys.argv[1])
part = file.with_suffix(".part")
part.write_text(f"{broker.host}:{broker.port}")
part.rename(file)
while True:
    time.sleep(60)
