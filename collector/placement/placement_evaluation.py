"""The evaluation of placements: each is compared with what was measured and said first after it. Pure.

In hindsight a job at a site takes its stage-in and stage-out along the paths that the answer named, at the smallest
goodput of their legs and without setting up; the queue that the site said next, or the one it had said; and its run.
All sites of the answer's ranking are compared by the same. Of devices, the first report counts: of those that are free
it counts only while the data is still staged in, as the job itself holds some from then on, and the answer does not
say how many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from collector.placement.staging import Spread, together
from collector.routing.evaluation import CLAIMS, COME_TRUE, RELAYS, share
from collector.store.past_decisions import DevicesAfter, Measurements
from linkweather.models.placements import PlacementAnswer, SitePlacement, StagedTransfer
from linkweather.models.scores import PlacementEvaluation, SiteScore
from linkweather.units import count
from linkweather.wire import DeviceRow

# Place of the moment, and src and dst or site and type → whether the claim came true.
_Claims = Mapping[tuple[int, str, str], bool]


@dataclass(frozen=True, slots=True)
class Afterwards:
    """What was measured between `sites`, bit/s, and what they said of devices, by the place of a moment in it."""

    sites: tuple[str, ...]
    goodput: Measurements
    devices: DevicesAfter


@dataclass(frozen=True, slots=True)
class _Placed:
    """An answer, the site that it chose, and what came after it."""

    answer: PlacementAnswer
    chosen: SitePlacement
    place: int
    goodput_bps: Mapping[tuple[str, str], float]
    devices: DevicesAfter

    def device_claims(self) -> Iterator[tuple[tuple[int, str, str], bool]]:
        """Of each type that was said again, whether at least half of what was said was there."""
        staged_at = self.answer.at.timestamp() + self.chosen.stage_in_p50_s
        for said in self.chosen.capacity:
            key = self.place, self.chosen.site, said.type
            if key not in self.devices:
                continue
            at, later = self.devices[key]
            counts = [(said.total, later.total)]
            if said.free is not None and later.free is not None and at < staged_at:
                counts.append((said.free, later.free))
            yield key, all(now >= COME_TRUE * before for before, now in counts)

    def goodput_claims(self) -> Iterator[tuple[tuple[int, str, str], bool]]:
        """Of each leg that was measured again, whether at least half of the goodput that was said came true."""
        for transfer in self.chosen.transfers:
            said = {(one.src, one.dst): one.goodput_p50_bps for one in transfer.inputs}
            for leg in pairwise(transfer.sites):
                claimed, measured = said.get(leg), self.goodput_bps.get(leg)
                if claimed is not None and measured is not None:
                    yield (self.place, *leg), measured >= COME_TRUE * claimed

    def took_s(self, site: SitePlacement) -> tuple[float, float] | None:
        """Stage-in and the whole time of the job at this site in hindsight; None where not all of it is known."""
        stage_in_s = self._staged_s(one for one in site.transfers if one.dst == site.site)
        stage_out_s = self._staged_s(one for one in site.transfers if one.src == site.site)
        queue_s = self._queue_s(site)
        if stage_in_s is None or stage_out_s is None or queue_s is None:
            return None
        return stage_in_s, stage_in_s + queue_s + site.run_s + stage_out_s

    def _staged_s(self, transfers: Iterable[StagedTransfer]) -> float | None:
        times = []
        for one in transfers:
            slowest_bps = min(self.goodput_bps.get(leg, 0.0) for leg in pairwise(one.sites))
            if slowest_bps < 1.0:
                return None
            alone_s = one.bytes * 8 / slowest_bps
            times.append((one.sites, Spread(alone_s, alone_s)))
        return together(times).p50_s

    def _queue_s(self, site: SitePlacement) -> float | None:
        keys = [(self.place, site.site, said.type) for said in site.capacity]
        if not all(key in self.devices for key in keys):
            return None
        queues = [_queue_s(self.devices[key][1]) for key in keys]
        known = [queue_s for queue_s in queues if queue_s is not None]
        return max(known) if known and len(known) == len(queues) else site.queue_s


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a placement came to; `regret_ratio` is None where it was not placed where it alone was done soonest."""

    answer: PlacementAnswer
    chosen: SitePlacement
    stage_in_s: float
    total_s: float
    best: str
    regret_ratio: float | None


def evaluate_placements(
    answers: Sequence[PlacementAnswer], afterwards: Afterwards, suspects: Mapping[str, str]
) -> PlacementEvaluation:
    """The evaluation of these answers, each at a moment of `afterwards`; `suspects` have a sentence each."""
    placed = list(_placed(answers, afterwards))
    devices = {key: held for one in placed for key, held in one.device_claims()}
    goodputs = {key: held for one in placed for key, held in one.goodput_claims()}
    outcomes = [found for found in map(_outcome, placed) if found is not None]
    staged = [one for one in outcomes if one.stage_in_s > 0]
    regrets = [one.regret_ratio for one in outcomes if one.regret_ratio is not None]
    evaluation = PlacementEvaluation(
        decisions=len(answers),
        evaluated=len(outcomes),
        stage_in_within_p90_ratio=_ratio(one.stage_in_s <= one.chosen.stage_in_p90_s for one in staged),
        within_p90_ratio=_ratio(one.total_s <= one.chosen.total_p90_s for one in outcomes),
        devices_held_ratio=_ratio(devices.values()),
        regret_mean_ratio=float(np.mean(regrets)) if regrets else None,
        sites=_sites(devices, goodputs, suspects),
    )
    return evaluation.model_copy(update={"why": _sentence(evaluation, outcomes)})


def _placed(answers: Sequence[PlacementAnswer], afterwards: Afterwards) -> Iterator[_Placed]:
    goodput, names = afterwards.goodput, afterwards.sites
    for answer in answers:
        chosen = next((one for one in answer.ranking if one.site == answer.site), None)
        if chosen is None:
            continue
        place = int(np.searchsorted(goodput.moments, answer.at.timestamp()))
        rows = slice(*np.searchsorted(goodput.place, [place, place + 1]))
        legs = zip(goodput.src[rows].tolist(), goodput.dst[rows].tolist(), goodput.value[rows].tolist(), strict=True)
        goodput_bps = {(names[src], names[dst]): bps for src, dst, bps in legs}
        yield _Placed(answer, chosen, place, goodput_bps, afterwards.devices)


def _outcome(placed: _Placed) -> _Outcome | None:
    took_s = placed.took_s(placed.chosen)
    if took_s is None:
        return None
    others = ((found[1], site.site) for site in placed.answer.ranking if (found := placed.took_s(site)) is not None)
    best_s, best = min(others)
    alone = placed.chosen.site == placed.answer.ranking[0].site and best_s > 0
    regret_ratio = took_s[1] / best_s - 1.0 if alone else None
    return _Outcome(placed.answer, placed.chosen, *took_s, best, regret_ratio)


def _queue_s(devices: DeviceRow) -> float | None:
    if devices.queue_s is not None or devices.queued_device_hours is None or not devices.total:
        return devices.queue_s
    return devices.queued_device_hours / devices.total * 3600


def _ratio(truths: Iterable[bool]) -> float | None:
    return share(np.array(list(truths), dtype=np.bool_))


def _sites(devices: _Claims, goodputs: _Claims, suspects: Mapping[str, str]) -> tuple[SiteScore, ...]:
    """A site answers for its devices, and for the goodput towards it, which it measures. Suspects are first."""
    names = {site for _, site, _ in devices} | {dst for _, _, dst in goodputs} | set(suspects)
    scores = [_site(name, devices, goodputs, suspects) for name in sorted(names)]
    return tuple(
        sorted(scores, key=lambda one: (one.suspect is None, -one.device_claims - one.goodput_claims))[:RELAYS]
    )


def _site(name: str, devices: _Claims, goodputs: _Claims, suspects: Mapping[str, str]) -> SiteScore:
    own = [held for (_, site, _), held in devices.items() if site == name]
    towards = [held for (_, _, dst), held in goodputs.items() if dst == name]
    return SiteScore(
        site=name,
        device_claims=len(own),
        devices_held_ratio=_ratio(own),
        goodput_claims=len(towards),
        goodput_held_ratio=_ratio(towards),
        suspect=suspects.get(name),
    )


def _sentence(evaluation: PlacementEvaluation, outcomes: Sequence[_Outcome]) -> str:
    parts = [f"placement: {evaluation.evaluated} of {count(evaluation.decisions, 'decision')} evaluated"]
    if evaluation.regret_mean_ratio is not None:
        parts.append(f"on average {evaluation.regret_mean_ratio:.1%} longer than at the best site in hindsight")
    lost = [(one.regret_ratio, one.answer.job, one.chosen.site, one.best) for one in outcomes if one.regret_ratio]
    if lost:
        parts.append("most of all {1} at {2}: {0:.1%} longer than at {3}".format(*max(lost)))
    for what, claims, ratio in (
        ("devices", "device_claims", "devices_held_ratio"),
        ("goodput", "goodput_claims", "goodput_held_ratio"),
    ):
        wrong = [
            one.site for one in evaluation.sites if getattr(one, claims) >= CLAIMS and getattr(one, ratio) < COME_TRUE
        ]
        if wrong:
            parts.append(f"what {', '.join(wrong)} claims of {what} mostly does not come true")
    suspects = [one.site for one in evaluation.sites if one.suspect]
    if suspects:
        parts.append(f"suspect: {', '.join(suspects)}")
    return "; ".join(parts) + "."
