"""Commits a batch of messages: what is new, what is a duplicate, and what is refused as it spoils the rest. Blocks."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import duckdb

from collector.ingest.admission import IncomingMessage, LinkNames, RefusedMessage, admit, conflict, head
from collector.store.columns import Entry
from collector.store.database import Database
from collector.store.report_keys import Key
from linkweather.containment import note
from linkweather.errors import RecordError

# What duckdb raises where the values are at fault, and not the disk: to try again would be in vain.
_BAD_VALUES = (duckdb.DataError, duckdb.ProgrammingError, duckdb.NotSupportedError)


@dataclass(frozen=True, slots=True)
class CommitResult:
    """The keys that are on the disk now, what is new of them, and what was refused; how long it took."""

    accepted: list[Key]
    new: list[Entry]
    refused: list[RefusedMessage]
    seconds: float


class Record(Protocol):
    """Where reports are committed: a journal, or the log that a cluster's journals read. Methods block."""

    id: str
    database: Database

    def recorded(self, wanted: Mapping[Key, tuple[str, datetime]]) -> Mapping[Key, set[tuple[str, datetime]]]:
        """Those of the keys that it has, see `Journal.recorded`."""

    def commit(self, entries: Sequence[Entry]) -> list[Entry]:
        """Write a batch; the new entries. Raises duckdb.Error or RecordError: then it may be repeated."""


class BatchCommit:
    """Commits batches to a record; a message may be a report, a duplicate of one, or neither."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.names: LinkNames | None = None  # what rows may name; None: anything

    def commit(self, batch: Sequence[IncomingMessage], sites: Collection[str] | None) -> CommitResult:
        """Commit a batch; `sites` are those of the mesh, None while none is known.

        Raises duckdb.Error or RecordError while the disk fails: then it may be repeated.
        """
        started = time.perf_counter()
        result = CommitResult([], [], [], 0.0)
        while batch:
            batch = self._commit_once(batch, sites, result)
        return replace(result, seconds=time.perf_counter() - started)

    def _commit_once(
        self, batch: Sequence[IncomingMessage], sites: Collection[str] | None, result: CommitResult
    ) -> list[IncomingMessage]:
        """Commit the messages of keys that are there once, and the first of each other; the rest of those is left."""
        heads = [head(message, sites) for message in batch]
        recorded = self._record.recorded({found.key: (found.kind, found.at) for found in heads if found})
        taken: set[Key] = set()
        fresh: list[IncomingMessage] = []
        left: list[IncomingMessage] = []
        for message, found in zip(batch, heads, strict=True):
            if found is None:
                fresh.append(message)
            elif found.key not in recorded:
                (left if found.key in taken else fresh).append(message)
                taken.add(found.key)
            elif not recorded[found.key] or (found.kind, found.at) in recorded[found.key]:
                result.accepted.append(found.key)
            else:
                result.refused.append(conflict(message, found, recorded[found.key]))
        self._commit_new(fresh, sites, result)
        return left

    def _commit_new(
        self, batch: Sequence[IncomingMessage], sites: Collection[str] | None, result: CommitResult
    ) -> None:
        admitted = [admit(message, sites, self.names) for message in batch]
        accepted = [entry for entry in admitted if isinstance(entry, Entry)]
        result.refused.extend(refusal for refusal in admitted if isinstance(refusal, RefusedMessage))
        try:
            new = self._record.commit(accepted)
        except Exception as error:
            if isinstance(error, duckdb.Error | RecordError) and not isinstance(error, _BAD_VALUES):
                raise  # the disk fails: the batch is repeated
            accepted, new = self._commit_singly(batch, admitted, result.refused)
        result.accepted.extend((entry.site, entry.report.boot, entry.report.seq) for entry in accepted)
        result.new.extend(new)

    def _commit_singly(
        self,
        batch: Sequence[IncomingMessage],
        admitted: Sequence[Entry | RefusedMessage],
        refused: list[RefusedMessage],
    ) -> tuple[list[Entry], list[Entry]]:
        """Commit one by one where one report spoils its batch: that one is refused; the accepted, and the new ones."""
        accepted: list[Entry] = []
        new: list[Entry] = []
        for message, entry in zip(batch, admitted, strict=True):
            if isinstance(entry, RefusedMessage):
                continue
            try:
                new += self._record.commit([entry])
                accepted.append(entry)
            except Exception as error:
                if isinstance(error, duckdb.Error | RecordError) and not isinstance(error, _BAD_VALUES):
                    raise
                note("commit", error)
                key = (entry.report.boot, entry.report.seq)
                refused.append(RefusedMessage(message, "fault", _said(error), entry.site, key))
        return accepted, new


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
