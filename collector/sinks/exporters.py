"""All configured sinks, each with its exporter: opened, run, asked and closed together, none waiting for another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping

from collector.sinks.exporter import STOP_LIMIT_S, Exporter, SinkReadings
from collector.store.database import Database
from linkweather.broker import Broker
from linkweather.sink import SinkContext, SinkSettings


class Exporters:
    """The exporters by name. Construction opens the sinks; raises OperatorError for one that can never work."""

    def __init__(self, database: Database, tables: Mapping[str, SinkSettings], broker: Broker) -> None:
        self._exporters: dict[str, Exporter] = {}
        try:
            for name, settings in tables.items():
                sink = settings.open(SinkContext(name, broker))
                self._exporters[name] = Exporter(database, name, settings, sink)
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Exporter]:
        return iter(self._exporters.values())

    def named(self, name: str) -> Exporter | None:
        """The exporter of the sink of this name."""
        return self._exporters.get(name)

    def failing(self) -> list[str]:
        """A sentence for each sink that writes nothing now, or not every kind of rows."""
        return [f"sink {exporter.name}: {exporter.trouble.sentence}" for exporter in self if exporter.trouble]

    def readings(self) -> list[SinkReadings]:
        """How each sink is now; blocks for a moment. Raises duckdb.Error when the disk fails."""
        return [exporter.readings() for exporter in self]

    async def run(self) -> None:
        """Export until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for exporter in self:
                tasks.create_task(exporter.run(), name=f"sink {exporter.name}")

    def close(self) -> None:
        """Stop all; what is being written may end within STOP_LIMIT_S. Blocks for as long."""
        for exporter in self:
            exporter.stop()
        deadline = time.monotonic() + STOP_LIMIT_S
        for exporter in self:
            exporter.close(max(0.0, deadline - time.monotonic()))
