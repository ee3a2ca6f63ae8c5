"""What ails this machine as a collector: what `linkweather doctor --collector` reads and tries, beside one or before.

A room of its own: the command doctor has the same of a probe, and loads the one that is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from collector.ingest import embedded_broker
from collector.settings import LOOPBACK, CollectorSettings
from linkweather import settings as files
from linkweather.cli.diagnosis import Diagnosis
from linkweather.cli.machine_diagnosis import of_broker, of_folder, of_memory, of_port
from linkweather.cli.machine_readings import read_broker, read_folder, read_memory, read_port
from linkweather.errors import OperatorError
from linkweather.mesh import Mesh
from linkweather.wire import topics

SUBJECT: Final = "collector"
LEAST_FREE_BYTES: Final = 1_000_000_000
_OWN: Final = ("linkweather", " collector")


def check(config: Path) -> list[Diagnosis]:
    """All that is found. Raises OperatorError for settings, or a mesh, that cannot be read."""
    settings = files.load(config, CollectorSettings).below(config.parent)
    files.load(settings.mesh, Mesh)
    found = [*of_folder(SUBJECT, read_folder(settings.data_dir), LEAST_FREE_BYTES)]
    found += of_memory(SUBJECT, *read_memory(), settings.journal.memory_limit_mb * 1_000_000)
    found += of_port(SUBJECT, read_port("TCP", settings.api.host, settings.api.port), _OWN, "`port` in [api]")
    return [*found, *_of_broker(settings)]


def _of_broker(settings: CollectorSettings) -> Iterator[Diagnosis]:
    if not settings.has_embedded_broker:
        wanted = (topics.ALL_REPORTS, topics.ALL_STATUSES)
        reading = asyncio.run(read_broker(settings.broker_address, "linkweather-collector", wanted))
        yield from of_broker(SUBJECT, reading)
        return
    yield from of_port(SUBJECT, read_port("TCP", LOOPBACK, settings.broker_port), ("mosquitto",), "`broker_port`")
    try:
        embedded_broker.find_program()
    except OperatorError as error:
        yield Diagnosis(SUBJECT, str(error), "install the package mosquitto")
