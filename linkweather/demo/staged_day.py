"""What happens to the demo's links, so that there is something to see: one loses packets, one is cut and mended. Pure.

On the page both are seen within half a minute: a link is down after seconds, loss is an incident after 15 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from linkweather.lab.labfile import LabFile

BEGIN_S = 8.0  # the first figures are there, and nothing was lost
LOSS_RATIO = 0.12


@dataclass(frozen=True, slots=True)
class StagedAct:
    """A change of one link, the sentence about it, and how long it stands.

    None leaves loss or cut as it is.
    """

    src: str
    dst: str
    sentence: str
    pause_s: float
    loss_ratio: float | None = None
    cut: bool | None = None


def staged_day(lab: LabFile) -> Iterator[StagedAct]:
    """One round of some three minutes, after which every link is again as the lab file says; none without a link."""
    directed, links = dict(lab.behaviours()), [(link.src, link.dst) for link in lab.links]
    if not links:
        return
    # In the lab of the hubs neither is a leg of the relayed paths that there are to find.
    lossy, cut = links[len(links) // 4], links[len(links) * 5 // 6]
    yield StagedAct(*lossy, _staged(f"{_link(*lossy)} loses {LOSS_RATIO:.0%} of its packets"), 10.0, LOSS_RATIO)
    yield StagedAct(*cut, _staged(f"{_link(*cut)} is cut"), 50.0, cut=True)
    yield StagedAct(*cut, _staged(f"{_link(*cut)} is restored"), 30.0, cut=False)
    usual = directed[lossy].loss_ratio
    yield StagedAct(*lossy, _staged(f"{_link(*lossy)} is well again; a minute of calm"), 60.0, usual)


def _link(src: str, dst: str) -> str:
    return f"{src} → {dst}"


def _staged(what: str) -> str:
    return f"Staged: {what} (--quiet stages nothing)."
