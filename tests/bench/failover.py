"""The demo's decisions: how soon both relayed pairs are found, and how soon a cut link is left.

    python -m tests.bench.failover [--cuts N]

Starts the demo of the eight hubs as root, waits for the two pairs that are better off through a third hub, then cuts
a leg of gz → cc → gs again and again and measures from before the cut to the answer that avoids it. Exit status 1
when a decision took longer than LIMIT_S.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from linkweather.client import Client
from tests import servers
from tests.demo import hubs

LIMIT_S = 10.0
LEGS = (("gz", "cc"), ("cc", "gs"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, hubs.running(Path(folder)) as (client, linkweather):
        started = time.monotonic()
        hubs.wait_for_path(client, "gz", "cc", "gs")
        print(f"gz → gs through cc by RTT after {time.monotonic() - started:.1f} s")
        hubs.wait_for_path(client, "yd", "bj", "nx", objective="goodput")
        print(f"yd → nx through bj by goodput after {time.monotonic() - started:.1f} s")
        spans = [_cut(client, linkweather, *LEGS[number % len(LEGS)]) for number in range(options.cuts)]
    print(
        f"a cut leg was left after {statistics.median(spans):.1f} s (median; "
        f"{min(spans):.1f} to {max(spans):.1f}, n {len(spans)})"
    )
    return int(max(spans) > LIMIT_S)


def _cut(client: Client, linkweather: Callable[..., str], src: str, dst: str) -> float:
    """Seconds from a cut to a decision that avoids it; then the link is restored, and the path comes back."""
    started = time.monotonic()
    linkweather("lab", "link", src, dst, "--cut", "--both")
    servers.wait_until(lambda: "cc" not in hubs.path(client, "gz", "gs"), "the cut link is left", hubs.LIMIT_S)
    span_s = time.monotonic() - started
    linkweather("lab", "link", src, dst, "--restore", "--both")
    hubs.wait_for_path(client, "gz", "cc", "gs")
    return span_s


if __name__ == "__main__":
    sys.exit(main())
