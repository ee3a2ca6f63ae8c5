"""Floods a broker with the site a's reports until stopped: `python -m tests.collector.ingest.flooding PORT DST…`."""

from __future__ import annotations

import sys

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from linkweather.wire import encode, topics
from tests.collector.report_samples import latency

UNDER_WAY = 100


def main(port: int, peers: tuple[str, ...]) -> None:
    """Publish reports with a row for each peer, so many at a time, each under a new number."""
    client = paho.Client(CallbackAPIVersion.VERSION2, "flood", protocol=paho.MQTTv5)
    client.max_inflight_messages_set(UNDER_WAY)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for first in range(0, 10_000_000, UNDER_WAY):
        sent = [
            client.publish(topics.report("a", "latency"), encode(latency(seq, peers=peers)), qos=1)
            for seq in range(first, first + UNDER_WAY)
        ]
        sent[-1].wait_for_publish()


if __name__ == "__main__":
    main(int(sys.argv[1]), tuple(sys.argv[2:]))
