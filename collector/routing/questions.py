"""What can be asked of the router, and what cannot: each mistake is said with the name of its field."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import get_args

from linkweather.errors import LinkweatherError
from linkweather.models.routes import Objective

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
MAX_BYTES = 1e18
MAX_RELAYS = 2


class RouteQuestionError(LinkweatherError, ValueError):
    """A question that has no answer: one sentence, and the `field` that it is about."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(f"{field}: {sentence}")
        self.field = field


@dataclass(frozen=True, kw_only=True)
class RouteQuestion:
    """Which path from `src` to `dst`? `bytes` are needed for the completion time, and for nothing else.

    `avoid` are sites that must not relay; `max_price_usd_per_gb` bounds the egress prices of all that send, summed.
    Raises RouteQuestionError for what is wrong whatever the mesh.
    """

    src: str
    dst: str
    objective: Objective = "latency"
    bytes: float | None = None
    max_relays: int = 1
    avoid: frozenset[str] = frozenset()
    max_price_usd_per_gb: float | None = None

    def __post_init__(self) -> None:
        if self.src == self.dst:
            raise RouteQuestionError(
                "dst", f"{self.dst!r} is where the data is already: a path joins two different sites"
            )
        if self.objective not in OBJECTIVES:
            raise RouteQuestionError("objective", f"{self.objective!r} is none of {', '.join(OBJECTIVES)}")
        ends = self.avoid & {self.src, self.dst}
        if ends:
            raise RouteQuestionError("avoid", f"{min(ends)!r} is an end of the path: only a relay can be avoided")
        if self.max_relays not in range(MAX_RELAYS + 1):
            raise RouteQuestionError("max_relays", f"{self.max_relays!r} is none of 0, 1, 2")
        _check_bytes(self.objective, self.bytes)
        price = self.max_price_usd_per_gb
        if price is not None and not 0 <= price < math.inf:  # NaN is not either
            raise RouteQuestionError("max_price_usd_per_gb", f"{price:g}: must be a finite number, 0 or more")

    @property
    def conditional(self) -> bool:
        """Whether it has conditions of its own, so that what stands for everybody need not be its answer."""
        return bool(self.avoid) or self.max_price_usd_per_gb is not None or self.max_relays != 1


def check_sites(question: RouteQuestion, sites: Collection[str]) -> None:
    """Raise RouteQuestionError for a site that is not in the mesh."""
    named = [("src", question.src), ("dst", question.dst), *(("avoid", site) for site in sorted(question.avoid))]
    for field, site in named:
        if site not in sites:
            raise RouteQuestionError(field, f"no site {site!r}; the mesh has {', '.join(sites)}")


def _check_bytes(objective: Objective, size: float | None) -> None:
    if size is None:
        if objective == "completion":
            raise RouteQuestionError("bytes", "a completion time needs a number of bytes")
    elif not 0 < size <= MAX_BYTES:  # NaN is not either
        raise RouteQuestionError("bytes", f"{size:g}: must be above 0 and at most {MAX_BYTES:g}")
