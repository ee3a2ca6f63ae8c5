"""What another program measured, and the reports that it becomes. Pure.

A source gets the boot `import-<hash>`, and its measurements are numbered one by one: so importing it again adds
nothing, by the keys of the journal. A report counts as arrived when it was measured: what is old is kept as old.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from collector.store.columns import Entry
from linkweather import settings
from linkweather.errors import LinkweatherError, NoSuchSiteError, OperatorError
from linkweather.mesh import Mesh
from linkweather.wire import LatencyReport, LatencyRow, ThroughputReport, ThroughputRow

_SHOWN = 5


class NotCarriedOverError(LinkweatherError):
    """Something of another program that has no place here: it is said, and the rest is carried over."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One result: the two hosts as the other program names them, when it ended, and fields of our row.

    Without `values` nothing was measured at that time: it takes a number, and has no row.
    """

    kind: Literal["latency", "throughput"]
    src: str
    dst: str
    method: str
    at: datetime
    values: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class ImportSource:
    """The measurements of one file, in order; the first is number `first`. `left_out` says what it has besides."""

    name: str
    boot: str
    measurements: tuple[Measurement, ...]
    first: int = 0
    left_out: tuple[str, ...] = ()

    @property
    def hosts(self) -> set[str]:
        """Every host that it names."""
        return {host for one in self.measurements for host in (one.src, one.dst)}


def boot_of(content: bytes) -> str:
    """The boot id of a source with this content, or this identity."""
    return f"import-{hashlib.sha256(content).hexdigest()[:16]}"


@contextmanager
def as_written_by(program: str) -> Iterator[None]:
    """The block reads a document by the keys that the program documents. Raises NotCarriedOverError where it fails."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        why = settings.sentence_of(error) if isinstance(error, ValidationError) else f"{type(error).__name__}: {error}"
        raise NotCarriedOverError(f"is not as {program} writes it ({why})") from None


def sites_of(hosts: Iterable[str], mesh: Mesh, given: Mapping[str, str]) -> dict[str, str]:
    """The site of each host: as `given` says, else by id, compute_id or address. Raises OperatorError for others."""
    addresses = {site.address: name for name, site in mesh.sites.items()}
    found: dict[str, str] = {}
    unknown = []
    for host in sorted(hosts):
        name = given.get(host, addresses.get(host, host))
        try:
            found[host] = mesh.site_id(name)
        except NoSuchSiteError:
            unknown.append(f"{host} (--site says {name})" if host in given else host)
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        shown = ", ".join(unknown[:_SHOWN])
        raise OperatorError(f"no site of the mesh: {shown}{more}: say which sites they are with --site NAME=SITE")
    return found


def entries_of(source: ImportSource, sites: Mapping[str, str]) -> tuple[list[Entry], list[str]]:
    """The reports of a source, one for each measurement, and a sentence for each of those whose values cannot be."""
    numbers: Counter[str] = Counter()
    entries, left_out = [], list(source.left_out)
    for one in source.measurements:
        src, dst = sites[one.src], sites[one.dst]
        site = src if one.kind == "latency" else dst  # who publishes rows of this kind
        seq = source.first + numbers[site]
        numbers[site] += 1
        links: tuple[Any, ...] = ()
        try:
            links = _rows(one, src, dst)
        except NotCarriedOverError as error:
            left_out.append(f"{one.at:%Y-%m-%dT%H:%M:%SZ}: {error}")
        report = LatencyReport if one.kind == "latency" else ThroughputReport
        entries.append(Entry(site, report(boot=source.boot, seq=seq, at=one.at, links=links), one.at))
    return entries, left_out


def _rows(one: Measurement, src: str, dst: str) -> tuple[LatencyRow | ThroughputRow, ...]:
    if one.values is None:
        return ()
    if src == dst:
        raise NotCarriedOverError(f"{one.src} → {one.dst} are both the site {src}")
    row = LatencyRow if one.kind == "latency" else ThroughputRow
    try:
        return (row.model_validate({"src": src, "dst": dst, "method": one.method, **one.values}),)
    except ValidationError as error:
        raise NotCarriedOverError(settings.sentence_of(error)) from None
