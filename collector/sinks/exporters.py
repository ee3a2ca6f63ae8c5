"""All configured sinks, each with its exporter: opened, run, asked and closed together, none waiting for another."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from collector.sinks.backlog import forget, removed_lags
from collector.sinks.exporter import STOP_LIMIT_S, Exporter
from collector.store.database import Database
from linkweather.broker import Broker
from linkweather.models.ledger import SetAsideAnswer, SinkAnswer
from linkweather.sink import SinkContext, SinkSettings

log = logging.getLogger(__name__)


class Exporters:
    """The exporters by name. Construction opens the sinks; raises OperatorError for one that can never work.

    Methods for a name raise KeyError where there is no such sink; all but `failing` block for a moment, and raise
    duckdb.Error when the disk fails.
    """

    def __init__(self, database: Database, tables: Mapping[str, SinkSettings], broker: Broker) -> None:
        self._database = database
        self.by_name: dict[str, Exporter] = {}
        try:
            for name, settings in tables.items():
                sink = settings.open(SinkContext(name, broker))
                self.by_name[name] = Exporter(database, name, settings, sink)
        except BaseException:
            self.close()
            raise
        for name in removed_lags(database, self.by_name):
            log.warning(
                "the journal keeps rows for the sink %s, which is no longer configured: "
                "configure it again, or let go of them by `linkweather archive drop %s`",
                *(name, name),
            )

    def sinks(self) -> list[SinkAnswer]:
        """How every sink is now, removed ones as well."""
        removed = removed_lags(self._database, self.by_name)
        return [exporter.answer() for exporter in self.by_name.values()] + [
            SinkAnswer(sink=name, state="removed", lag_rows=lag_rows) for name, lag_rows in removed.items()
        ]

    def failing(self) -> list[str]:
        """A sentence for each sink that writes nothing now, or not every kind of rows."""
        troubles = {name: exporter.trouble for name, exporter in self.by_name.items()}
        return [f"sink {name}: {trouble.sentence}" for name, trouble in troubles.items() if trouble]

    def set_aside(self, name: str, limit: int) -> list[SetAsideAnswer]:
        """What the sink refused, the newest first."""
        return self.by_name[name].backlog.set_aside.latest(limit)

    def retry(self, name: str) -> SinkAnswer:
        """Send again what is set aside, and end a wait."""
        self.by_name[name].retry()
        return self.by_name[name].answer()

    def drop(self, name: str) -> SinkAnswer:
        """Let go of what is set aside, or of everything that is kept for a removed sink."""
        if name in self.by_name:
            self.by_name[name].backlog.set_aside.drop()
            return self.by_name[name].answer()
        dropped_rows = removed_lags(self._database, self.by_name)[name]
        forget(self._database, name)
        return SinkAnswer(sink=name, state="removed", lag_rows=0, dropped_rows=dropped_rows)

    async def run(self) -> None:
        """Export until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, exporter in self.by_name.items():
                tasks.create_task(exporter.run(), name=f"sink {name}")

    def close(self) -> None:
        """Stop all; what is being written may end within STOP_LIMIT_S. Blocks for as long."""
        for exporter in self.by_name.values():
            exporter.stop()
        deadline = time.monotonic() + STOP_LIMIT_S
        for exporter in self.by_name.values():
            exporter.close(max(0.0, deadline - time.monotonic()))
