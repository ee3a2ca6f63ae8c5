"""Grids of goodput as benches read them: CSV files with the columns src, dst and goodput_bps.

Empty cells and missing rows are links that nobody measured. What stands before a colon in a site's name, if anything,
is its operator. A file with a column `at` (RFC 3339) is of several days: `PATH@2022-02-14` takes that day, and the
geometric mean where a link has several rows. One with a column `frame` has a grid for each.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self

import numpy as np

from collector.routing.arrays import DIRECT, Floats, Vias
from linkweather.errors import OperatorError

COLUMNS = ("src", "dst", "goodput_bps")

Link = tuple[str, str]
Grid = dict[Link, float]


@dataclass(frozen=True)
class GridFile:
    """A file, and the day that is meant, where one is given."""

    path: Path
    day: date | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """`PATH` or `PATH@2022-02-14`. Raises OperatorError."""
        path, at, day = text.rpartition("@")
        if not at:
            return cls(Path(text), None)
        try:
            return cls(Path(path), date.fromisoformat(day))
        except ValueError:
            raise OperatorError(f"{text}: what follows the @ is no day such as 2022-02-14") from None

    def read(self) -> Grid:
        """The links that the file has a goodput for. Raises OperatorError."""
        found: dict[Link, list[float]] = defaultdict(list)
        for row, link, goodput_bps in _rows(self.path):
            if self.day is None or row.get("at", str(self.day)).startswith(str(self.day)):
                found[link].append(goodput_bps)
        if not found:
            raise OperatorError(f"{self}: has no goodput of any link")
        return {link: _mean(values) for link, values in found.items()}

    def __str__(self) -> str:
        return str(self.path) if self.day is None else f"{self.path}@{self.day}"


def frames(path: Path) -> list[Grid]:
    """The grids of a file with a column `frame`, in the order of its numbers. Raises OperatorError."""
    found: dict[int, Grid] = defaultdict(dict)
    for row, link, goodput_bps in _rows(path):
        try:
            found[int(row["frame"])][link] = goodput_bps
        except (KeyError, ValueError):
            raise OperatorError(f"{path}: its rows have no numbered frame") from None
    return [found[number] for number in sorted(found)]


def _mean(values: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values)) if min(values) > 0 else 0.0


def _rows(path: Path) -> Iterator[tuple[dict[str, str], Link, float]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if missing := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
                raise OperatorError(f"{path}: has no column {missing[0]!r}; the columns are src, dst and goodput_bps")
            for number, row in enumerate(rows, start=2):
                if (row["goodput_bps"] or "").strip() and row["src"] != row["dst"]:
                    yield row, _link(row, path, number), _goodput_bps(row, path, number)
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise OperatorError(f"{path}: is not a CSV file ({error})") from None


def _link(row: dict[str, str], path: Path, number: int) -> Link:
    if not row["src"] or not row["dst"]:
        raise OperatorError(f"{path}, line {number}: names no {'dst' if row['src'] else 'src'}")
    return row["src"], row["dst"]


def _goodput_bps(row: dict[str, str], path: Path, number: int) -> float:
    try:
        goodput_bps = float(row["goodput_bps"])
    except ValueError:
        raise OperatorError(f"{path}, line {number}: goodput_bps {row['goodput_bps']!r} is not a number") from None
    if not goodput_bps >= 0 or math.isinf(goodput_bps):
        raise OperatorError(f"{path}, line {number}: goodput_bps {row['goodput_bps']} is not 0 or more")
    return goodput_bps


def sites_of(*grids: Grid) -> list[str]:
    """All that any link of these grids names, in order."""
    return sorted({site for grid in grids for link in grid for site in link})


def matrix(grid: Grid, sites: Sequence[str]) -> Floats:
    """[src, dst]; NaN where there is no goodput: of a link that carried nothing a grid tells no rate."""
    position = {site: index for index, site in enumerate(sites)}
    goodputs = np.full((len(sites), len(sites)), np.nan)
    for (src, dst), goodput_bps in grid.items():
        goodputs[position[src], position[dst]] = goodput_bps or np.nan
    return goodputs


def operators(sites: Sequence[str]) -> list[str | None]:
    """The operator of each site, None where its name has none."""
    return [before if colon else None for before, colon, _ in (site.partition(":") for site in sites)]


def write_decisions(path: Path, vias: Vias, sites: Sequence[str]) -> None:
    """A file of src, dst, via; via is empty for direct. Raises OperatorError."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(("src", "dst", "via"))
            for src, dst in np.argwhere(~np.eye(len(sites), dtype=bool)):
                via = vias[src, dst]
                rows.writerow((sites[src], sites[dst], sites[via] if via > DIRECT else ""))
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}") from None
