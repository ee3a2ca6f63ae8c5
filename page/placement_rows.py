"""An answer to where a job should run, as rows and sentences. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from linkweather.models.placements import Exclusion, PlacementAnswer, SitePlacement
from linkweather.models.scores import EvaluationAnswer
from linkweather.units import duration, price
from page.route_rows import share
from page.words import SOURCE, Words, message

HEADINGS: tuple[str, ...] = (
    message("site"),
    message("stage-in"),
    message("queue"),
    message("run"),
    message("stage-out"),
    message("done"),
    message("p90"),
    message("USD"),
)
EXCLUSIONS: Mapping[Exclusion, str] = {
    "no_capacity": message("it has not reported its devices"),
    "capacity_expired": message("what it reported of its devices is too old"),
    "no_such_devices": message("it has no such devices"),
    "too_few_devices": message("it has too few devices"),
    "unknown_queue": message("its queue is unknown"),
    "no_path": message("no usable path leads there, or back"),
    "deadline": message("it would miss the deadline"),
    "price": message("it would cost too much"),
    "suspect": message("it claims what cannot be"),
}
# The fields of a job in the form: each with what is typed there.
FIELDS: Mapping[str, tuple[str, str]] = {
    "data": (message("data"), "bj:2TB gs:500GB"),
    "result": (message("result"), "bj:1GB"),
    "devices": (message("devices"), "a100:8"),
    "work": (message("device-hours"), "16"),
    "deadline": (message("deadline"), "6h"),
    "max_price": (message("USD at most"), "40"),
}
_SEVERAL = {"data", "devices", "work"}


def job_texts(form: Mapping[str, str]) -> dict[str, list[str] | str]:
    """What a form says of a job, as the options of `linkweather place`; several texts are apart by spaces or commas."""
    given = {name: form[name].replace(",", " ").split() for name in FIELDS if form.get(name, "").strip()}
    return {name: texts if name in _SEVERAL else " ".join(texts) for name, texts in given.items()}


def placement_rows(answer: PlacementAnswer) -> list[tuple[str, ...]]:
    """The sites that can run the job, the soonest first: the columns of HEADINGS."""
    return [_row(site) for site in answer.ranking]


def _row(site: SitePlacement) -> tuple[str, ...]:
    stages_s = (site.stage_in_p50_s, site.queue_s, site.run_s, site.stage_out_p50_s)
    figures = (*stages_s, site.total_p50_s, site.total_p90_s)
    return (site.site, *(duration(value_s) if value_s else "0" for value_s in figures), price(site.price_usd))


def placement_sentences(answer: PlacementAnswer, words: Words) -> list[str]:
    """Where the job should run and why, then why each other site cannot: the API's own sentences in their language."""
    if words.language == SOURCE:
        return [answer.why, *(f"not {one.site}: {one.why}" for one in answer.excluded)]
    excluded = [words("not {site}: {why}", site=one.site, why=words(EXCLUSIONS[one.reason])) for one in answer.excluded]
    if answer.site is None:
        return [words("No site can run the job."), *excluded]
    done, p90 = duration(answer.done_p50_s), duration(answer.done_p90_s)
    return [words("{site}: done in {done}, p90 {p90}.", site=answer.site, done=done, p90=p90), *excluded]


class ClaimsRow(NamedTuple):
    """What became of a site's claims that placements rested on: how many, what share held; why it is suspect."""

    site: str
    devices: str
    devices_held: str
    goodputs: str
    goodputs_held: str
    suspect: str


def placement_score(answer: EvaluationAnswer | None, words: Words) -> str:
    """The judge's score of the placements in a sentence; empty where there were none."""
    found = answer.placements if answer else None
    if found is None or not found.decisions:
        return ""
    parts = [words("{n} of {all} placements measured", n=found.evaluated, all=found.decisions)]
    for ratio, said in (
        (found.regret_mean_ratio, message("regret {share}")),
        (found.within_p90_ratio, message("{share} done within p90")),
        (found.devices_held_ratio, message("the devices were there in {share}")),
    ):
        if ratio is not None:
            parts.append(words(said, share=share(ratio)))
    return "; ".join(parts)


def claims_rows(answer: EvaluationAnswer | None) -> list[ClaimsRow]:
    """Each site's claims, suspect sites first."""
    return [
        ClaimsRow(
            site=one.site,
            devices=str(one.device_claims),
            devices_held=share(one.devices_held_ratio),
            goodputs=str(one.goodput_claims),
            goodputs_held=share(one.goodput_held_ratio),
            suspect=one.suspect or "",
        )
        for one in (answer.placements.sites if answer and answer.placements else ())
    ]
