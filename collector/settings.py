"""The settings of every part of the collector: typed defaults, in one place. Imports no engine."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from collector.named_tables import NotifyTables, SinkTables
from linkweather.broker import FORMS, Broker, BrokerSettings
from linkweather.mesh import FilePath, NotNegative, Port, Positive, Settings, Tuple

EMBEDDED = "embedded"
LOOPBACK = "127.0.0.1"
BROKER_PORT = 1883
MOST_DAYS = 36_500
MOST_SHARES = 1000
KAFKA_BROKERS = r"^[A-Za-z0-9._-]{1,253}:\d{1,5}(,[A-Za-z0-9._-]{1,253}:\d{1,5}){0,31}$"


def _days(value: float) -> float:
    if math.isfinite(value) and value > MOST_DAYS:
        raise ValueError(f"at most {MOST_DAYS}, or inf")
    return value


def is_address(name: str) -> bool:
    """Whether a host is given by its IP address."""
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


Factor = Annotated[float, Field(ge=1, le=100)]
Days = Annotated[float, Field(gt=0, allow_inf_nan=True), AfterValidator(_days)]
ClusterName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Few = Annotated[int, Field(ge=1, le=100)]


class CollectorBroker(BrokerSettings):
    """Where the broker is, and who the collector is there; or "embedded", a mosquitto of its own on loopback."""

    url: str = EMBEDDED

    @classmethod
    def checked(cls, url: str) -> str:
        """A URL, or "embedded". Raises ValueError that says what is allowed."""
        if url == EMBEDDED:
            return url
        try:
            return super().checked(url)
        except ValueError as error:
            raise ValueError(f'"{EMBEDDED}", {FORMS}' if str(error) == FORMS else str(error)) from None


class ApiSettings(Settings):
    """Where the HTTP API listens, and whom it lets in: tokens of `linkweather token`, or the one in `token_file`.

    A token for writing is always needed by TCP; one for reading as soon as there is one, unless `reading_needs_token`
    says so. Without `insecure` an address that other machines reach needs a token, and the certificate and key of TLS,
    which are read again when they change. `hosts` are further names by which callers may ask ("*": any). Connections
    and open streams are bounded, those of each client too, and so are its requests: behind a proxy all callers are one.
    """

    host: str = LOOPBACK
    port: Port = 8484
    token_file: FilePath | None = None
    reading_needs_token: bool | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    insecure: bool = False
    hosts: Annotated[tuple[str, ...], Tuple, Field(max_length=64)] = ()
    max_connections: Annotated[int, Field(ge=8, le=100_000)] = 512
    max_connections_per_client: Annotated[int, Field(ge=1, le=100_000)] = 64
    max_streams_per_client: Annotated[int, Field(ge=1, le=1000)] = 32
    requests_per_s: Annotated[float, Field(ge=0.1, le=1e6)] = 100.0
    requests_at_once: Annotated[int, Field(ge=1, le=1_000_000)] = 1000

    @model_validator(mode="after")
    def _both_of_tls(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file: set both, or neither")
        return self

    def below(self, folder: Path) -> Self:
        """The same settings with paths resolved against `folder`."""
        names = ("token_file", "cert_file", "key_file")
        found = {name: folder / value for name in names if (value := getattr(self, name)) is not None}
        return self.model_copy(update=found)


class PageSettings(Settings):
    """The page that the collector starts when a browser first comes; without `host` it listens where the API does.

    But where other machines reach an API that is not `insecure`: then on loopback, as the page asks for no token.
    """

    enabled: bool = True
    host: str | None = None
    port: Port = 8420


class JournalSettings(Settings):
    """For how many days rows, and their roll-ups by minutes, are kept (`inf`: for ever), and DuckDB's memory.

    Roll-ups by hours are kept for ever. Sites that follow a journal in `replaces` follow this one instead.
    """

    keep_days: Days = 7.0
    minute_days: Days = 90.0
    replaces: Annotated[tuple[str, ...], Tuple, Field(max_length=64)] = ()
    memory_limit_mb: Annotated[int, Field(ge=64)] = 512

    @property
    def row_days(self) -> float | None:
        """For how many days rows are kept; None is for ever."""
        return None if math.isinf(self.keep_days) else self.keep_days


class StateSettings(Settings):
    """When a link is stale, expired or up again: `*_reports` in report intervals, `*_rounds` in throughput rounds.

    A goodput expires after its rounds or `goodput_expired_after_s`, whichever is longer: budgets may pay for few.
    """

    stale_after_reports: Positive = 4.0
    expired_after_reports: Positive = 60.0
    goodput_stale_after_rounds: Positive = 2.0
    goodput_expired_after_rounds: Positive = 12.0
    goodput_stale_after_s: NotNegative = 604_800.0
    goodput_expired_after_s: NotNegative = 604_800.0
    loss_probes: Few = 100
    recover_after_rows: Few = 2


class MetricsSettings(Settings):
    """Whether `/metrics` has series of each link, some fifteen; none in a mesh of more than `max_links`."""

    links: bool = True
    max_links: Annotated[int, Field(ge=0)] = 50_000


class CapacitySettings(Settings):
    """A site's report of its devices counts for `expires_after_s`; no job is placed on an older report."""

    expires_after_s: Positive = 3600.0


class RoutingSettings(Settings):
    """When a relay is worth it.

    A relay must beat direct by the `*_margin` (1.1: by a tenth), its RTT by the cautious estimate, its goodput as
    `GoodputEstimate` says. What it counts for must beat the active route by the `*_hysteresis`: of goodputs the noise
    of the estimate is most of that. The cautious RTT lies `latency_caution` of the way from the expected one to p90. A
    relay's forwarding adds `forward_s` to the RTT. A link that comes back is held down: no route is moved onto it for
    `hold_down_s`. A link that loses more than `max_leg_loss_ratio` carries no relayed path. A site relays at most
    `max_relayed_pairs` pairs under each objective; further pairs stay direct.

    Latency's hysteresis and caution guard against noise. In a mesh whose RTTs have little noise both fade, down to
    nothing: see `noise`.
    """

    latency_margin: Factor = 1.01
    latency_hysteresis: Factor = 1.06
    latency_caution: Annotated[float, Field(ge=0, le=10)] = 0.0
    goodput_margin: Factor = 1.03
    goodput_hysteresis: Factor = 1.02
    completion_margin: Factor = 1.1
    forward_s: NotNegative = 0.0005
    hold_down_s: NotNegative = 30.0
    max_leg_loss_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    max_relayed_pairs: Annotated[int, Field(ge=0)] | None = None

    def against_noise(self, noise: float) -> Self:
        """The settings for RTTs with this share of noise, 0 to 1: hysteresis and caution scale with it."""
        held = {"latency_hysteresis": self.latency_hysteresis**noise, "latency_caution": self.latency_caution * noise}
        return self.model_copy(update=held)


class EvaluationSettings(Settings):
    """Active routes are sampled every `note_every_s`, and evaluated against what is measured afterwards.

    A measurement counts when it comes within `latency_within_s`, or `goodput_within_s`, of the decision.
    """

    note_every_s: Positive = 60.0
    latency_within_s: Positive = 60.0
    goodput_within_s: Positive = 7200.0


# Kinds whose figures wander: they must last this many times as long. A goodput is measured rarely, each one counts.
PATIENCE: Mapping[str, float] = {
    "loss": 3.0,
    "latency": 3.0,
    "jitter": 6.0,
    "implausible": 6.0,
    "clock": 6.0,
    "sink": 6.0,
    "collector": 3.0,
    "goodput": 0.0,
}


class IncidentSettings(Settings):
    """When a link is degraded, which is an incident, and how long it must be so before one opens, and closes.

    Loss above `loss_ratio`, and twice what is usual for the link; an RTT of more than `latency_factor` times, and
    `latency_least_s` above, what is normal for the link; a jitter likewise; a goodput below `goodput_ratio` of what is
    normal. The limits of the mesh count beside these. A condition opens an incident after `open_after_s` without a
    break, loss and latency after three times that, jitter after six times, and an incident closes `close_after_s` after
    its last condition. Incidents that are over are kept for `keep_days`.
    """

    loss_ratio: Annotated[float, Field(gt=0, le=1)] = 0.02
    latency_factor: Factor = 1.5
    latency_least_s: NotNegative = 0.005
    jitter_factor: Factor = 4.0
    jitter_least_s: NotNegative = 0.01
    goodput_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    open_after_s: NotNegative = 5.0
    close_after_s: NotNegative = 60.0
    keep_days: Positive = 400.0

    def hold_s(self, kind: str) -> float:
        """How long a condition of this kind must last before it counts."""
        return self.open_after_s * PATIENCE.get(kind, 1.0)


def _share(value: str) -> str:
    number, _, count = value.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count) <= MOST_SHARES):
        raise ValueError(f'one of so many, such as "1/4", and at most {MOST_SHARES} of them')
    return value


class ClusterSettings(Settings):
    """Several collectors as one, of this `name`: each keeps the reports of its share of the sites.

    Either `share` fixes which share is this collector's, or the brokers of `kafka` say so: then reports are kept in the
    log `topic`, which is made with so many `partitions` and `replicas`, for `keep_days`. `collector` is its name among
    the others, its host's by default, and `url` where its API answers them and people.
    """

    name: ClusterName
    share: Annotated[str, AfterValidator(_share)] | None = None
    kafka: Annotated[str, Field(pattern=KAFKA_BROKERS)] | None = None
    topic: ClusterName = "linkweather-reports"
    partitions: Annotated[int, Field(ge=1, le=MOST_SHARES)] = 24
    replicas: Annotated[int, Field(ge=1, le=9)] = 3
    keep_days: Positive = 7.0
    collector: ClusterName | None = None
    url: Annotated[str, Field(pattern=r"^https?://[^\s]{1,200}$")] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.share is None) == (self.kafka is None):
            raise ValueError('either share = "1/4" or kafka = "host:port,…", and not both')
        return self


class CollectorSettings(Settings):
    """All settings. Paths are relative to the file; `broker_port` and `broker_socket` are the embedded broker's."""

    broker: CollectorBroker = CollectorBroker()
    broker_port: Port = BROKER_PORT
    broker_socket: FilePath | None = None
    mesh: FilePath = Path("mesh.toml")
    data_dir: FilePath = Path("collector-data")
    api: ApiSettings = ApiSettings()
    page: PageSettings = PageSettings()
    journal: JournalSettings = JournalSettings()
    state: StateSettings = StateSettings()
    capacity: CapacitySettings = CapacitySettings()
    metrics: MetricsSettings = MetricsSettings()
    routing: RoutingSettings = RoutingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    incidents: IncidentSettings = IncidentSettings()
    cluster: ClusterSettings | None = None
    notify: NotifyTables = Field(default_factory=dict)
    sinks: SinkTables = Field(default_factory=dict)

    @property
    def broker_address(self) -> Broker:
        """Where the broker is, the embedded one or another."""
        return Broker("mqtt", LOOPBACK, self.broker_port) if self.has_embedded_broker else self.broker.address

    @property
    def has_embedded_broker(self) -> bool:
        """Whether the collector runs the broker itself."""
        return self.broker.url == EMBEDDED

    def below(self, folder: Path) -> CollectorSettings:
        """The same settings with paths resolved against `folder`."""
        return self.model_copy(
            update={
                "broker": self.broker.below(folder),
                "mesh": folder / self.mesh,
                "data_dir": folder / self.data_dir,
                "broker_socket": self.broker_socket and folder / self.broker_socket,
                "api": self.api.below(folder),
                "notify": {name: table.below(folder) for name, table in self.notify.items()},
                "sinks": {name: sink.below(folder) for name, sink in self.sinks.items()},
            }
        )
