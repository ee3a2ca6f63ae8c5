"""The settings of the sinks that come with linkweather. Loading them loads no engine: `open` does."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from linkweather.broker import BrokerSettings
from linkweather.mesh import FilePath, NotNegative, Positive
from linkweather.sink import Sink, SinkContext, SinkSettings
from linkweather.wire import topics


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("http://host:port or https://host:port")
    return value.rstrip("/")


def _prefix(value: str) -> str:
    # Below our own topics, rows would come back to us as reports.
    if not value.strip("/") or set(value) & set("+#\0") or f"{value}/".startswith(f"{topics.PREFIX}/"):
        raise ValueError(f"a topic without + and #, and not below {topics.PREFIX}")
    return value.strip("/")


def _sink(name: str, *arguments: Any) -> Sink:
    """A sink of this room, whose engine is imported only here."""
    sink: Sink = resolve_name(f"collector.sinks.{name}")(*arguments)
    return sink


class InfluxSettings(SinkSettings):
    """InfluxDB or VictoriaMetrics. `database` means InfluxDB 1.x, `bucket` InfluxDB 1.8, 2.x, 3.x or VictoriaMetrics.

    VictoriaMetrics keeps a point that is written again twice, unless it runs with -dedup.minScrapeInterval=1ms.
    A token or password may stand here, a token also in a file of its own, which is read again when it changes, or
    either in the environment (LINKWEATHER_INFLUX_TOKEN, LINKWEATHER_INFLUX_PASSWORD). Without `integer_fields`,
    counts are written as floats: for a bucket that has them so already, from Telegraf say.
    """

    kind: str = "influx"
    url: Annotated[str, AfterValidator(_http_url)]
    database: str | None = None
    username: str | None = None
    password: Annotated[str | None, Field(repr=False)] = None
    bucket: str | None = None
    org: str = ""
    token: Annotated[str | None, Field(repr=False)] = None
    token_file: FilePath | None = None
    integer_fields: bool = True
    batch_rows: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    timeout_s: Positive = 10.0

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if bool(self.database) == bool(self.bucket):
            raise ValueError(
                "either database (InfluxDB 1.x) or bucket (InfluxDB 2.x, 3.x, VictoriaMetrics) is required"
            )
        return self

    def open(self, context: SinkContext) -> Sink:
        """The sink. Raises OperatorError for a token file that cannot be read."""
        return _sink("influx_sink:InfluxSink", self, context.name)


class ParquetSettings(SinkSettings):
    """Parquet files in `folder`, one a batch, kind and day, which DuckDB, pandas and Spark read.

    A file is written when `batch_rows` rows have come, or after `linger_s`: at most 96 files a day for each kind.
    """

    kind: str = "parquet"
    folder: FilePath
    batch_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 100_000
    linger_s: NotNegative = 900.0

    def open(self, context: SinkContext) -> Sink:
        """The sink. Raises OperatorError for a folder that cannot be made."""
        return _sink("parquet_sink:ParquetSink", self, context.name)


class MqttSettings(SinkSettings):
    """Rows again, each as JSON on a topic of its own, `prefix/kind/src/dst`, for Telegraf, Node-RED and the like.

    `broker` is the collector's own unless another is named. A row may come twice after a crash.
    """

    kind: str = "mqtt"
    broker: BrokerSettings | None = None
    prefix: Annotated[str, AfterValidator(_prefix)] = "linkweather/rows"
    batch_rows: Annotated[int, Field(ge=1, le=100_000)] = 1000
    timeout_s: Positive = 10.0

    def below(self, folder: Path) -> Self:
        """The same with paths, the broker's as well, made relative to `folder`."""
        return super().below(folder).model_copy(update={"broker": self.broker and self.broker.below(folder)})

    def open(self, context: SinkContext) -> Sink:
        """The sink."""
        return _sink("mqtt_sink:MqttSink", self, self.broker.address if self.broker else context.broker)
