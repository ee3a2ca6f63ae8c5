"""Jobs, and the answers about where to run them. A job file (TOML) and a request have the same form.

Fields are base SI units; in a file or a request, sizes and durations may also be texts such as "2TB" and "6h". Of
every expectation `p50` is the median, and `p90` what nine of ten cases do not exceed. Options of a command and a form
have a job as texts, which `job_values` makes the values of a job file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from linkweather.errors import BadValueError, NoSuchSiteError, OperatorError, UnitError
from linkweather.mesh import Mesh, Settings, SiteId, Tuple
from linkweather.models.routes import LinkInput
from linkweather.models.state import CapacityAnswer
from linkweather.units import parse_duration, parse_price, parse_size
from linkweather.wire import Label, Message

MAX_BYTES = 10**18
MAX_JOBS = 1000


def _typed(read: Callable[[str], float]) -> BeforeValidator:
    def validate(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return read(value)
        except UnitError as error:
            raise ValueError(error.allowed) from None

    return BeforeValidator(validate)


Size = Annotated[int, Field(ge=1, le=MAX_BYTES), _typed(parse_size)]
Duration = Annotated[float, Field(gt=0, le=1e9), _typed(parse_duration)]
Price = Annotated[float, Field(ge=0, le=1e15), _typed(parse_price)]
SiteName = Annotated[str, Field(min_length=1, max_length=200)]


class Located(Settings):
    """So many bytes at a site, named by its id or its compute_id."""

    site: SiteName
    bytes: Size

    def at_id(self, mesh: Mesh, key: str) -> Located:
        """The same with the site's id. Raises BadValueError about `key`."""
        try:
            return self.model_copy(update={"site": mesh.site_id(self.site)})
        except NoSuchSiteError as error:
            raise BadValueError(f"{key}.site", f"{key}.site = {self.site!r}: {error}") from None


class Need(Settings):
    """Devices of one type that the job holds all the time, and its work on them: it runs for work / count."""

    type: Label
    count: Annotated[int, Field(ge=1, le=10**9)]
    work_device_hours: Annotated[float, Field(ge=0, le=1e12)]


class Job(Settings):
    """A job: where its inputs are, where its result must go, what it runs on, and within which limits.

    With several types of devices it runs until the last one's work is done. The deadline counts from now.
    """

    name: Label = "job"
    data: Annotated[tuple[Located, ...], Field(min_length=1, max_length=1000), Tuple]
    result: Located | None = None
    devices: Annotated[tuple[Need, ...], Field(min_length=1, max_length=100), Tuple]
    deadline_s: Duration | None = None
    max_price_usd: Price | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        types = [need.type for need in self.devices]
        for number, name in enumerate(types):
            if name in types[:number]:
                raise ValueError(f"devices[{number}].type = {name!r}: given twice")
        return self

    @property
    def run_s(self) -> float:
        """How long it runs."""
        return max(need.work_device_hours / need.count for need in self.devices) * 3600

    def at_ids(self, mesh: Mesh) -> Job:
        """The same with every site by its id. Raises BadValueError for a name that no site has."""
        data = tuple(part.at_id(mesh, f"data[{number}]") for number, part in enumerate(self.data))
        return self.model_copy(update={"data": data, "result": self.result and self.result.at_id(mesh, "result")})


class Jobs(Settings):
    """Jobs to be placed together, in the order of their arrival."""

    jobs: Annotated[tuple[Job, ...], Field(min_length=1, max_length=MAX_JOBS), Tuple]

    def at_ids(self, mesh: Mesh) -> tuple[Job, ...]:
        """The jobs with every site by its id. Raises BadValueError for a name that no site has."""
        return tuple(self._at_ids(number, mesh) for number in range(len(self.jobs)))

    def _at_ids(self, number: int, mesh: Mesh) -> Job:
        try:
            return self.jobs[number].at_ids(mesh)
        except BadValueError as error:
            raise BadValueError(f"jobs[{number}].{error.key}", f"jobs[{number}].{error.sentence}") from None


class StagedTransfer(Message):
    """One transfer for a job: `sites` is its path; the price is null where an egress price is unknown."""

    src: SiteId
    dst: SiteId
    bytes: int
    sites: tuple[SiteId, ...]
    p50_s: float
    p90_s: float
    price_usd: float | None = None
    inputs: tuple[LinkInput, ...] = ()


class SitePlacement(Message):
    """The job at this site now, alone: stage-in, then queue, then run, then stage-out.

    `total_p90_s` adds the p90 of the stages, as if they all went badly at once: on the safe side. The price is egress
    and devices; null where one of them is not known. `transfers` and `capacity` are what this rests on, with ages.
    """

    site: SiteId
    compute_id: str | None = None
    stage_in_p50_s: float
    stage_in_p90_s: float
    queue_s: float
    run_s: float
    stage_out_p50_s: float
    stage_out_p90_s: float
    total_p50_s: float
    total_p90_s: float
    price_usd: float | None = None
    transfers: tuple[StagedTransfer, ...] = ()
    capacity: tuple[CapacityAnswer, ...] = ()


Exclusion = Literal[
    "no_capacity",
    "capacity_expired",
    "no_such_devices",
    "too_few_devices",
    "unknown_queue",
    "no_path",
    "deadline",
    "price",
    "suspect",
]


class ExcludedSite(Message):
    """A site that cannot run the job: the first reason found, as a code and as a sentence after the site's name."""

    site: SiteId
    compute_id: str | None = None
    reason: Exclusion
    why: str


class PlacementAnswer(Message):
    """Where the job should run: `site`, or null where none can. `ranking` has every site that can, the soonest first.

    Of jobs that were placed together the best for all need not be the first of the ranking; `wait_s` is then how long
    this one waits for devices that others of them hold, and `done_p50_s` and `done_p90_s` include it.
    """

    job: Label
    at: AwareDatetime
    site: SiteId | None = None
    compute_id: str | None = None
    wait_s: float | None = None
    done_p50_s: float | None = None
    done_p90_s: float | None = None
    ranking: tuple[SitePlacement, ...] = ()
    excluded: tuple[ExcludedSite, ...] = ()
    why: str


class PlacementsAnswer(Message):
    """Where several jobs should run, in their order; beside it what first come, first served would have reached."""

    at: AwareDatetime
    placements: tuple[PlacementAnswer, ...]
    unplaced: int
    total_p50_s: float
    first_come_unplaced: int
    first_come_total_p50_s: float
    why: str


def job_values(texts: Mapping[str, Any]) -> dict[str, Any]:
    """The values that `data`, `devices` and `work` say, each several texts, and `result`, `deadline` and `max_price`.

    Raises OperatorError for a text that is none, by its option.
    """
    values = {
        "data": [_located("--data", text) for text in texts.get("data", ())] or None,
        "result": _located("--result", texts["result"]) if "result" in texts else None,
        "devices": list(_needs(texts.get("devices", ()), texts.get("work", ()))) or None,
        "deadline_s": texts.get("deadline"),
        "max_price_usd": texts.get("max_price"),
    }
    return {name: value for name, value in values.items() if value is not None}


def _located(option: str, text: str) -> dict[str, Any]:
    site, size = _split(option, text, "SITE:BYTES, such as north:2TB")
    return {"site": site, "bytes": size}


def _needs(devices: Sequence[str], work: Iterable[str]) -> Iterator[dict[str, Any]]:
    counts = [_split("--devices", text, "TYPE:N, such as a100:8") for text in devices]
    types = {name for name, _ in counts}
    hours: dict[str, str] = {}
    for text in work:
        value, _, name = text.partition(":")
        name = name or (counts[0][0] if len(types) == 1 else "")
        if name not in types or name in hours:
            raise OperatorError(f"--work {text!r}: must be HOURS:TYPE, once for each type that --devices names")
        hours[name] = value
    for name, count in counts:
        need = {"type": name, "count": _number(count, int)}
        yield need | ({"work_device_hours": _number(hours[name], float)} if name in hours else {})


def _split(option: str, text: str, allowed: str) -> tuple[str, str]:
    name, _, value = text.rpartition(":")
    if not name:
        raise OperatorError(f"{option} {text!r}: must be {allowed}")
    return name, value


def _number(text: str, kind: type[int | float]) -> int | float | str:
    try:
        return kind(text)
    except ValueError:
        return text
