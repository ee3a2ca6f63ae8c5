"""The grid of sites × sites: in which order, collapsed to what, and what each cell shows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from linkweather.models.state import LinkAnswer, SiteAnswer
from page.link_metrics import LINK_FORMS, LINK_METRICS, STATE, LinkMetric, Span, is_not_well, span_of, worst
from page.mesh_picture import MeshPicture
from page.words import Words, message

NUMBERS_UP_TO = 12  # columns; above, colour and form alone
LEVELS = 12  # steps of the scale
COLLAPSE_FROM = 100  # sites from which on the grid is collapsed unless asked otherwise
NO_GROUP = "–"
_LEAST_LOSS = 0.01  # one way is worse than the other from this loss on, and by this factor
_WORSE_FACTOR = 2.0


def _region(site: SiteAnswer) -> str:
    return site.region or NO_GROUP


def _operator(site: SiteAnswer) -> str:
    return site.operator or NO_GROUP


GROUPINGS: Mapping[str, Callable[[SiteAnswer], str]] = {"region": _region, "operator": _operator}
SORTS: Mapping[str, str] = {
    "name": message("name"),
    "region": message("region"),
    "operator": message("operator"),
    "worst": message("worst first"),
}
COLLAPSES: Mapping[str, str] = {
    "none": message("none"),
    "region": message("region"),
    "operator": message("operator"),
}


@dataclass(frozen=True, slots=True)
class MatrixQuestion:
    """What to show, as the address says it. `src` and `dst` keep only the sites of that group, of `collapse_of`."""

    metric: str = STATE
    sort: str = "name"
    collapse: str = ""
    src: str = ""
    dst: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> MatrixQuestion:
        """The question in an address's parameters; what is unknown there is the default."""
        choices = {"metric": LINK_METRICS, "sort": SORTS, "collapse": COLLAPSES}
        known = {name: given[name] for name, allowed in choices.items() if given.get(name) in allowed}
        return cls(**known, src=given.get("src", ""), dst=given.get("dst", ""))

    def parameters(self, **changes: str) -> dict[str, str]:
        """The parameters that ask this, with some changed; defaults are left out."""
        default = MatrixQuestion()
        values = {name: getattr(self, name) for name in ("metric", "sort", "collapse", "src", "dst")} | changes
        return {name: value for name, value in values.items() if value != getattr(default, name)}

    def collapse_of(self, sites: int) -> str:
        """By what to collapse so many sites."""
        return self.collapse or ("region" if sites > COLLAPSE_FROM else "none")


@dataclass(frozen=True, slots=True)
class MatrixLine:
    """A row or a column: its key, the sites in it, and whether another group of the sorted begins with it."""

    key: str
    sites: tuple[str, ...]
    begins: bool = False


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """What a cell shows; `level` counts from good to bad and is None without a value; `links` are those behind it.

    `one_way` says that most of them are worse this way than back.
    """

    state: str
    level: int | None
    text: str
    links: int
    one_way: bool = False

    def packed(self) -> list[Any]:
        """The cell for the browser."""
        shown = [self.state, -1 if self.level is None else self.level, self.text, self.links]
        return [*shown, 1] if self.one_way else shown


@dataclass(frozen=True, slots=True)
class Matrix:
    """The grid of the metric of that key: a cell is None where the mesh has no link.

    `span` are the lowest and the highest value shown.
    """

    key: str
    metric: LinkMetric
    rows: tuple[MatrixLine, ...]
    columns: tuple[MatrixLine, ...]
    cells: tuple[tuple[MatrixCell | None, ...], ...]
    span: Span
    collapsed: bool

    @property
    def numbers(self) -> bool:
        """Whether the cells have room for numbers."""
        return len(self.columns) <= NUMBERS_UP_TO


def matrix(view: MeshPicture, question: MatrixQuestion) -> Matrix:
    """The grid that answers the question."""
    metric, collapse = LINK_METRICS[question.metric], question.collapse_of(len(view.sites))
    rows, columns = (_lines(view, question, collapse, keep) for keep in (question.src, question.dst))
    behind = [[_links(view, row, column) for column in columns] for row in rows]
    values = [[_value(view, metric, links) for links in line] for line in behind]
    span = span_of(value for line in values for value in line)
    cells = tuple(
        tuple(_cell(view, metric, links, value, span) for links, value in zip(*both, strict=True))
        for both in zip(behind, values, strict=True)
    )
    return Matrix(question.metric, metric, rows, columns, cells, span, collapse != "none")


def _lines(view: MeshPicture, question: MatrixQuestion, collapse: str, keep: str) -> tuple[MatrixLine, ...]:
    grouping = GROUPINGS.get(collapse) or GROUPINGS.get(question.sort) or GROUPINGS["region"]
    names = [name for name, site in view.sites.items() if not keep or grouping(site) == keep]
    if collapse != "none":
        members: dict[str, list[str]] = {}
        for name in sorted(names):
            members.setdefault(grouping(view.sites[name]), []).append(name)
        return tuple(MatrixLine(group, tuple(sites)) for group, sites in sorted(members.items()))
    ordered = _ordered(view, question.sort, names)
    if question.sort not in GROUPINGS:
        return tuple(MatrixLine(name, (name,)) for name in ordered)
    groups_ = [grouping(view.sites[name]) for name in ordered]
    return tuple(
        MatrixLine(name, (name,), begins=number > 0 and groups_[number] != groups_[number - 1])
        for number, name in enumerate(ordered)
    )


def _ordered(view: MeshPicture, sort: str, names: Sequence[str]) -> list[str]:
    if sort == "worst":
        badness = dict.fromkeys(names, 0)
        for link in view.links.values():
            for end in {link.src, link.dst} & badness.keys():
                badness[end] += LINK_FORMS[worst([link.state])].badness
        return sorted(names, key=lambda name: (-badness[name], name))
    grouping = GROUPINGS.get(sort)
    return sorted(names, key=lambda name: (grouping(view.sites[name]) if grouping else "", name))


def _links(view: MeshPicture, row: MatrixLine, column: MatrixLine) -> list[LinkAnswer]:
    pairs = ((src, dst) for src in row.sites for dst in column.sites)
    return [view.links[pair] for pair in pairs if pair in view.links]


def _value(view: MeshPicture, metric: LinkMetric, links: Sequence[LinkAnswer]) -> float | None:
    """The median of the links' values."""
    values = [value for link in links if (value := metric.read(link, view)) is not None]
    return median(values) if values else None


def _cell(
    view: MeshPicture, metric: LinkMetric, links: Sequence[LinkAnswer], value: float | None, span: Span
) -> MatrixCell | None:
    if not links:
        return None
    state = worst(link.state for link in links)
    troubled = sum(is_not_well(link.state) for link in links)
    one_way = 2 * sum(is_worse_this_way(link, view.links.get((link.dst, link.src))) for link in links) > len(links)
    said = "" if value is None else metric.cell(value)
    if metric is LINK_METRICS[STATE] and troubled and len(links) > 1:
        said = f"{troubled}/{len(links)}"
    level = None if value is None else round(metric.badness(value, span) * (LEVELS - 1))
    return MatrixCell(state, level, said, len(links), one_way)


def is_worse_this_way(link: LinkAnswer, back: LinkAnswer | None) -> bool:
    """Whether a link loses more there than back, or carries less than the link the other way, by a factor of two."""
    there, return_ = link.loss_forward_ratio, link.loss_back_ratio
    if there is not None and return_ is not None and there >= max(_LEAST_LOSS, _WORSE_FACTOR * return_):
        return True
    if back is None or link.goodput_bps is None or back.goodput_bps is None:
        return False
    return _WORSE_FACTOR * link.goodput_bps <= back.goodput_bps


def changed_cells(before: Matrix, after: Matrix) -> list[list[Any]] | None:
    """What is seen to change, each as row, column, cell; None where the grid is another one."""
    if (before.key, before.rows, before.columns) != (after.key, after.rows, after.columns):
        return None
    return list(_changes(before, after))


def _changes(before: Matrix, after: Matrix) -> Iterator[list[Any]]:
    for row, (old_line, new_line) in enumerate(zip(before.cells, after.cells, strict=True)):
        for column, (old, new) in enumerate(zip(old_line, new_line, strict=True)):
            if old != new and _seen(old, numbers=after.numbers) != _seen(new, numbers=after.numbers):
                yield [row, column, new and new.packed()]


def _seen(cell: MatrixCell | None, *, numbers: bool) -> object:
    """What shows of a cell: where there is no room for numbers, a figure that leaves the colour as it is does not."""
    return cell if numbers or cell is None else (cell.state, cell.level, cell.one_way)


def for_browser(grid: Matrix, words: Words) -> dict[str, Any]:
    """The grid as the browser draws it."""
    return {
        "corner": words("from ↓ to →"),
        "caption": words(grid.metric.what),
        "metric": grid.key,
        "unit": grid.metric.unit,
        "states": {state: words(form.name) for state, form in LINK_FORMS.items()},
        "one_way": words("worse this way than back"),
        "numbers": grid.numbers,
        "collapsed": grid.collapsed,
        "rows": [[line.key, line.begins] for line in grid.rows],
        "columns": [[line.key, line.begins] for line in grid.columns],
        "cells": [[cell and cell.packed() for cell in line] for line in grid.cells],
    }
