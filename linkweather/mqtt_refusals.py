"""What a broker does not let a client do: counted, said once a topic, and not tried again for a while."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from paho.mqtt.reasoncodes import ReasonCode

from linkweather.wire import topics

log = logging.getLogger(__name__)

MOST_COMPLAINTS = 16
HOLD_REFUSED_S = 60.0
_ALLOW = "allow it in the broker's access rules"


class BrokerRefusals:
    """The refusals of one broker, which sentences call `broker`; `counts` has them by reason. Times are monotonic.

    Some brokers close the connection at a refusal, so that a family of topics is held after one.
    """

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self._held_until: dict[str, float] = {}  # family of topics that the broker refused → until when
        self._complaints: dict[str, str] = {}  # topic, or family → what the broker does not let us do there
        self.counts: Counter[str] = Counter()

    def complaints(self) -> list[str]:
        """What the broker does not let us do now: a sentence a topic, for the first of them."""
        return list(self._complaints.values())

    def connected(self) -> None:
        """The connection is new: what was refused on the last one is tried again, unless its topics are held."""
        self._complaints = {name: said for name, said in self._complaints.items() if name in self._held_until}

    def may_publish(self, topic: str, size: int, limit: int | None, now: float) -> bool:
        """Whether a packet of `size` octets may go to the topic; the broker takes `limit` at most, None is any."""
        if now < self._held_until.get(topics.family(topic), 0.0):
            return False
        if limit is None or size <= limit:
            return True
        what = f"{size} bytes, and {self._broker} takes packets of {limit} at most: raise its limit"
        self._complain(topic, "oversized", f"{what} (mosquitto: max_packet_size)")
        return False

    def published(self, topic: str) -> None:
        """The broker has taken a message on this topic."""
        for name in (topic, topics.family(topic)):
            self._complaints.pop(name, None)

    def publication_refused(self, topic: str, reason: str, now: float) -> None:
        """The broker has refused a message on this topic: its family is held."""
        family = topics.family(topic)
        self._held_until[family] = now + HOLD_REFUSED_S
        self._complain(family, reason, f"{self._broker} refuses this ({reason}): {_ALLOW}")

    def subscribed(self, wanted: Sequence[str], codes: Sequence[int | ReasonCode]) -> None:
        """The broker has answered a subscription, with a code for each topic."""
        for topic, code in zip(wanted, codes, strict=False):
            if isinstance(code, ReasonCode) and code.is_failure:
                self._complain(topic, str(code), f"{self._broker} does not let us read this ({code}): {_ALLOW}")

    def _complain(self, topic: str, reason: str, what: str) -> None:
        """Count what the broker does not let us do, and say it once a topic; of many topics the first."""
        self.counts[reason.lower().replace(" ", "_")] += 1
        if topic not in self._complaints and len(self._complaints) < MOST_COMPLAINTS:
            self._complaints[topic] = f"{topic}: {what}"
            log.error("%s", self._complaints[topic])
