"""Opens what the collector's settings name. Each raises OperatorError for what is not there or not ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from collector.ingest.embedded_broker import HOST
from collector.mesh_file import MeshFile
from collector.settings import EMBEDDED, CollectorSettings
from collector.store.journal import Journal
from linkweather.broker import Broker, parse_broker
from linkweather.errors import OperatorError
from linkweather.mesh import Mesh

JOURNAL_FILE = "journal.duckdb"


def open_mesh(path: Path, follow: Callable[[Mesh], None]) -> MeshFile:
    """The mesh file; `follow` hears of every change."""
    if not path.is_file():
        raise OperatorError(f"mesh = '{path}': there is no such file: write one, or name another with --mesh")
    return MeshFile(path, follow)


def open_journal(settings: CollectorSettings) -> Journal:
    """The journal in the data folder, which is made."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(f"data_dir = '{settings.data_dir}': cannot be made: {error.strerror}") from None
    path = settings.data_dir / JOURNAL_FILE
    return Journal(path, memory_limit_mb=settings.journal.memory_limit_mb, keep_days=settings.journal.keep_days)


def broker_of(settings: CollectorSettings) -> Broker:
    """The broker, the embedded one or the one named."""
    if settings.broker == EMBEDDED:
        return Broker("mqtt", HOST, settings.broker_port)
    return parse_broker(settings.broker)


def read_token(path: Path) -> str:
    """The token that lets meshes in from other machines."""
    try:
        token = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise OperatorError(f"api.token_file = '{path}': cannot be read: {error.strerror}") from None
    if not token:
        raise OperatorError(f"api.token_file = '{path}': is empty; a token was expected")
    return token
