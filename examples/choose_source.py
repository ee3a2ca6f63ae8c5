"""Picks the mirror to download from: of several sites that have a file, the fastest, or the cheapest in time.

    python choose_source.py --to bj --bytes 50GB gz nm gs
    python choose_source.py --to bj --bytes 50GB gz nm gs --deadline 2h     # the cheapest that takes at most 2 h

Sites are named by id or compute_id. Mirrors compare by their p90: nine of ten such transfers take no longer.
Exit status: 0 picked, 1 no usable mirror or no collector, 2 wrong names or values.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from linkweather import Client, CollectorUnavailableError, NoPathError, NotFoundError, OperatorError, units
from linkweather.client import DEFAULT_API
from linkweather.models.routes import RouteAnswer
from linkweather.units import duration, parse_duration, parse_size


@dataclass(frozen=True)
class Offer:
    """One mirror: the path, the time and the price of the transfer."""

    source: str
    path: Sequence[str]
    p50_s: float
    p90_s: float
    price_usd: float | None
    why: str


def main() -> int:
    """Ask, print, pick."""
    options = arguments()
    try:
        size = parse_size(options.bytes)
        deadline_s = None if options.deadline is None else parse_duration(options.deadline)
        with Client(options.api) as client:
            offers = ask(client, dict.fromkeys(options.mirrors), options.to, size)
    except CollectorUnavailableError as away:
        return fail(1, away)
    except (NotFoundError, OperatorError) as mistake:
        return fail(2, mistake)
    show(offers)
    picked = next(iter(offers), None) if deadline_s is None else cheapest(offers, deadline_s)
    if picked is None:
        limit = "" if deadline_s is None else f" within {duration(deadline_s)}"
        return fail(1, f"no mirror has the file at {options.to}{limit}")
    print(f"Take it from {picked.source}: p90 {duration(picked.p90_s)}, {usd(picked.price_usd)}.")
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Pick the mirror to download from.")
    parser.add_argument("mirrors", nargs="+", metavar="MIRROR", help="a site that has the file")
    parser.add_argument("--to", required=True, metavar="SITE", help="where the file is wanted")
    parser.add_argument("--bytes", required=True, metavar="SIZE", help="how large it is, such as 50GB")
    parser.add_argument("--deadline", metavar="TIME", help="the cheapest that is done within it, such as 2h")
    parser.add_argument("--api", default=os.environ.get("LINKWEATHER_API", DEFAULT_API), help="linkweather's API")
    return parser.parse_args()


def ask(client: Client, mirrors: Iterable[str], destination: str, size: int) -> list[Offer]:
    """The offers of all mirrors with a path, the fastest first; prints why others have none."""
    offers = []
    for mirror in mirrors:
        try:
            answer = client.route(mirror, destination, objective="completion", bytes=size)
        except NoPathError as reason:
            print(f"not {mirror}: {reason}")
            continue
        offers.append(offer(mirror, answer, size))
    return sorted(offers, key=lambda one: one.p90_s)


def offer(mirror: str, answer: RouteAnswer, size: int) -> Offer:
    """The offer in an answer; an unknown time counts as infinite."""
    path = answer.path
    price = path.price_usd_per_gb
    return Offer(
        source=mirror,
        path=path.sites,
        p50_s=math.inf if path.completion_p50_s is None else path.completion_p50_s,
        p90_s=math.inf if path.completion_p90_s is None else path.completion_p90_s,
        price_usd=None if price is None else price * size / 1e9,
        why=answer.why,
    )


def cheapest(offers: Sequence[Offer], deadline_s: float) -> Offer | None:
    """The cheapest within the deadline; an unknown price counts as infinite."""
    in_time = [one for one in offers if one.p90_s <= deadline_s]
    return min(in_time, key=lambda one: (math.inf if one.price_usd is None else one.price_usd, one.p90_s), default=None)


def show(offers: Sequence[Offer]) -> None:
    """A table, and the reasons below it."""
    rows = [("source", "path", "p50", "p90", "USD")]
    for one in offers:
        path = " → ".join(one.path)
        rows.append((one.source, path, duration(one.p50_s), duration(one.p90_s), units.price(one.price_usd)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows if offers else ():
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for one in offers:
        print(one.why)


def usd(price: float | None) -> str:
    """A price in words."""
    return "at an unknown price" if price is None else f"for {units.price(price)} USD"


def fail(status: int, sentence: object) -> int:
    """One sentence, and the exit status."""
    print(f"Error: {sentence}", file=sys.stderr)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
