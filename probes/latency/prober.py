"""The door for ways to measure latency: what a prober is, and how one is found by its name.

One engine measures latency by every method. It owns what all methods share: when a probe leaves, where a name
resolves to, the timeout, the sockets' timestamps, the sessions, windows, losses and statistics. A prober knows one
protocol and nothing of these. There are two kinds, after what the engine can do for them:

- A **datagram prober** (STAMP, ICMP echo) opens a socket, encodes a request and decodes a reply. The engine sends
  and receives, so that the kernel stamps both, and one timer serves a thousand peers.
- An **exchange prober** (TCP connect, HTTP) makes a whole exchange, awaits what it must, and returns how long the
  round trip took, as no stamp of a single packet says it. The engine starts one at the probe's time, cancels it at
  the timeout, and takes its errors for results.

`docs/extending.md` builds one.
"""

from __future__ import annotations

import logging
import math
import re
import socket
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from linkweather import plugins
from linkweather.errors import MeasurementError, OperatorError
from linkweather.mesh import LatencyTests, Settings, Site
from linkweather.wire.fields import FIGURE_NAME, MAX_FIGURES
from probes.latency.stamp_packet import StampReply, StampRequest

log = logging.getLogger(__name__)

Address = tuple[str, int]  # a numeric address and a port: what IPv4's and IPv6's socket addresses have in common
TimestampSource = Literal["kernel", "user"]

_FIGURE_NAME = re.compile(FIGURE_NAME)


class NoOptions(Settings):
    """The options of a method that has none."""


class Needs(NamedTuple):
    """What a method needs of a mesh: not more often than every `interval_s`, and at least `timeout_s` for each."""

    interval_s: float = 0.0
    timeout_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Wording:
    """What people read of a method: its title, where it goes, and what came of trying it; `{port}` is the port.

    `with_key` is what silence may mean as well where the probes are authenticated.
    """

    title: str
    place: str = " at port {port}"
    answered: str = "the host answers there"
    silent: str = "nothing answers there"
    with_key: str = ""

    def used(self, port: int) -> str:
        """`STAMP at UDP port 8620`."""
        return self.title + self.place.format(port=port)

    def outcome(self, port: int, *, answered: bool) -> str:
        """`no reflector answers at UDP port 8620`."""
        return (self.answered if answered else self.silent).format(port=port)


class Prober(Protocol):
    """What the engine asks of every prober, whichever kind it is. Made without arguments, one for each engine."""

    @property
    def wording(self) -> Wording:
        """What people read of this method."""

    @property
    def needs(self) -> Needs:
        """What this method needs of a mesh."""

    @property
    def options(self) -> type[Settings]:
        """The model of a site's `options` for this method. Unknown keys are refused with file and key."""

    def destination(self, site: Site, options: Any) -> Address:
        """The name or address, and the port, where a site is probed. `options` are the site's, validated."""


@runtime_checkable
class DatagramProber(Prober, Protocol):
    """A prober whose probes are single datagrams, each answered by one: the kernel's stamps say how long it took."""

    def apply_settings(self, tests: LatencyTests, key: bytes | None) -> None:
        """Probe in this way from now on; `key` is the probe's, if it has one. Raises OperatorError: that cannot be."""

    def open(self, family: socket.AddressFamily, address: str) -> socket.socket:
        """A non-blocking datagram socket, bound to a local address. Raises OperatorError where it cannot be had."""

    def encode(self, request: StampRequest, family: socket.AddressFamily) -> bytes:
        """The datagram of a probe. What `decode` returns must carry its sequence, timestamp and session number."""

    def decode(self, data: bytes, family: socket.AddressFamily) -> StampReply:
        """What came back. Raises MessageError for a datagram that is not a reply to us; it is counted by reason."""


@dataclass(slots=True)
class ProberCall:
    """One exchange to make: with `address`, from the `local` address, as the site's `options` say.

    `host` is what the address was resolved from.
    """

    family: socket.AddressFamily
    host: str
    address: Address
    local: str
    options: Any
    figures: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, value: float) -> None:
        """Add a figure to the probe. Those noted before a failure or the timeout are published, too.

        Raises ValueError: more than 16 figures, a name that is not `[a-z][a-z0-9_]{0,31}`, a value that is not finite.
        """
        if not _FIGURE_NAME.fullmatch(name):
            raise ValueError(f"figure {name!r}: must have a name of 1 to 32 of a–z, 0–9 and _, starting with a letter")
        if not math.isfinite(value):
            raise ValueError(f"figure {name} = {value}: must be a finite number")
        if name not in self.figures and len(self.figures) == MAX_FIGURES:
            raise ValueError(f"figure {name!r}: a probe has at most {MAX_FIGURES}")
        self.figures[name] = float(value)


class RoundTrip(NamedTuple):
    """What an exchange measured: the RTT, whose clock took it, and a remark for people where one is due."""

    rtt_s: float
    source: TimestampSource = "user"
    remark: str | None = None


@runtime_checkable
class ExchangeProber(Prober, Protocol):
    """A prober whose probes are exchanges of several packets, which it makes and times itself."""

    async def exchange(self, call: ProberCall) -> RoundTrip:
        """Make one exchange. It is cancelled at the timeout, and closes what it opened.

        Raises MeasurementError, a failure with its reason, or OSError.
        """


def blame(prober: Prober, error: Exception, counters: Counter[str]) -> str:
    """Count a prober's fault, and log the first; the sentence for its probe's row."""
    sentence = f"{type(error).__name__}: {error}"[:1000]
    if not counters["prober_error"]:
        log.error("%s failed: %s", type(prober).__qualname__, sentence, exc_info=error)
    counters["prober_error"] += 1
    return sentence


class AbsentProber:
    """Stands for a method that this probe cannot use: its peers are closed, so that nothing is ever asked of it."""

    wording = Wording("an absent method")
    needs = Needs()
    options = Settings  # any: what they mean, the absent method knows

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence

    def destination(self, site: Site, options: Any) -> Address:
        """The site's address."""
        del options
        return site.address, 0

    async def exchange(self, call: ProberCall) -> RoundTrip:
        """Fail: raises MeasurementError."""
        del call
        raise MeasurementError("method_missing", self.sentence)


class Method(NamedTuple):
    """A prober under its registered name, which its rows carry."""

    name: str
    prober: DatagramProber | ExchangeProber


def load(name: str) -> Method:
    """The prober that is registered as `name`. Raises OperatorError where there is none that could be used."""
    made = plugins.load(plugins.PROBERS, name)
    try:
        prober = made()
    except Exception as error:
        raise OperatorError(f"the prober {name!r} cannot be made: {type(error).__name__}: {error}") from error
    if not isinstance(prober, DatagramProber | ExchangeProber):
        raise OperatorError(f"the prober {name!r} ({type(prober).__qualname__}) is neither kind of docs/extending.md")
    return Method(name, prober)
