"""What a viewer of the page costs the collector: its processor time with nobody looking, and with one browser open.

python -m tests.bench.page_viewer [--sites 50] [--seconds 60]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from tests.page.browsing import Tab, chromium, tab
from tests.page.played_hubs import hubs_and_collector, many_hubs

REPORT_INTERVAL_S = 5.0
SETTLE_S = 20.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    hubs = many_hubs(asked.sites)
    with tempfile.TemporaryDirectory() as data, hubs_and_collector(Path(data), hubs, REPORT_INTERVAL_S) as (_, api):
        time.sleep(SETTLE_S)
        collector = next(_collectors(data))
        alone = _cores(collector, asked.seconds)
        page = str(httpx.get(api).headers["location"])
        with chromium() as browser, tab(browser) as opened:
            _first_view(opened, page)
            print(f"{asked.sites} sites: first view after {_first_view(opened, page):.1f} s, page started")
            time.sleep(SETTLE_S)
            looked_at = _cores(collector, asked.seconds)
            serving = next(child for child in collector.children() if "page" in child.cmdline())
            page_cores = _cores(serving, asked.seconds / 3)
    print(f"collector: {alone:.3f} cores alone, {looked_at:.3f} with one viewer: {looked_at - alone:+.3f}")
    print(f"page: {page_cores:.3f} cores")


def _first_view(opened: Tab, page: str) -> float:
    begun = time.monotonic()
    opened.open(page)
    opened.page.wait_for_selector(".cell[data-row]")
    return time.monotonic() - begun


def _collectors(folder: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter(["cmdline"]):
        said = process.info["cmdline"] or []
        if "collector" in said and any(part.startswith(folder) for part in said):
            yield process


def _cores(process: psutil.Process, seconds: float) -> float:
    """The share of a core that the process takes for so long."""
    before, begun = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(seconds)
    used: float = sum(process.cpu_times()[:2]) - before
    return used / (time.monotonic() - begun)


if __name__ == "__main__":
    main()
