"""The collector's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from collector.ingest.embedded_broker import PORT as BROKER_PORT
from collector.linkstate.capacities import CapacitySettings
from collector.linkstate.link_window import StateSettings
from collector.route_updater import DecisionSettings
from collector.routing.costs import RoutingSettings
from collector.sinks.influx_server import InfluxSettings
from linkweather.errors import OperatorError
from linkweather.mesh import Port, Positive, Settings
from linkweather.mqtt import parse_broker

EMBEDDED = "embedded"


def _broker(value: str) -> str:
    if value != EMBEDDED:
        try:
            parse_broker(value)
        except OperatorError:
            raise ValueError('"embedded", mqtt://host[:port], mqtts://host[:port] or unix:///path') from None
    return value


FilePath = Annotated[Path, Field(strict=False)]  # TOML has no paths, only strings
BrokerUrl = Annotated[str, AfterValidator(_broker)]


class ApiSettings(Settings):
    """Where the HTTP API listens. With the token in `token_file`, the mesh may be pushed from other machines."""

    host: str = "127.0.0.1"
    port: Port = 8484
    token_file: FilePath | None = None


class JournalSettings(Settings):
    """How long rows are kept (for ever, unless told), and how much memory DuckDB may take."""

    keep_days: Positive | None = None
    memory_limit_mb: Annotated[int, Field(ge=64)] = 512


class CollectorSettings(Settings):
    """Everything. Paths are relative to the settings file; the broker's port and socket are of the embedded one."""

    broker: BrokerUrl = EMBEDDED
    broker_port: Port = BROKER_PORT
    broker_socket: FilePath | None = None
    mesh: FilePath = Path("mesh.toml")
    data_dir: FilePath = Path("collector-data")
    api: ApiSettings = ApiSettings()
    journal: JournalSettings = JournalSettings()
    state: StateSettings = StateSettings()
    capacity: CapacitySettings = CapacitySettings()
    routing: RoutingSettings = RoutingSettings()
    decisions: DecisionSettings = DecisionSettings()
    influx: InfluxSettings | None = None

    def below(self, folder: Path) -> CollectorSettings:
        """The same with paths that are relative to `folder` made so."""
        api, influx = self.api, self.influx
        if api.token_file:
            api = api.model_copy(update={"token_file": folder / api.token_file})
        if influx and influx.token_file:
            influx = influx.model_copy(update={"token_file": str(folder / influx.token_file)})
        return self.model_copy(
            update={
                "mesh": folder / self.mesh,
                "data_dir": folder / self.data_dir,
                "broker_socket": self.broker_socket and folder / self.broker_socket,
                "api": api,
                "influx": influx,
            }
        )
