"""The pictures of the documents: the page before a collector that hears of played hubs, one link cut and one lossy.

python -m tests.page.screenshots [--folder docs/pictures]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.documents import ROOT
from tests.page.browsing import Tab, chromium, tab
from tests.page.played_hubs import hubs_and_collector

WELL_S = 90.0  # all links are up, so that there is something normal
WRONG_S = 60.0
WIDE = {"viewport": {"width": 1200, "height": 760}}
# name → address, how it is looked at, and the cell that is pointed at
PICTURES: Mapping[str, tuple[str, Mapping[str, Any], str]] = {
    "now": ("/", WIDE, ".cell.degraded[data-row]"),
    "now-dark": ("/?metric=goodput&sort=region", {**WIDE, "color_scheme": "dark"}, ""),
    "now-phone": ("/?lang=zh", {"viewport": {"width": 390, "height": 760}, "has_touch": True}, ""),
    "link": ("/link/gz/cc", {"viewport": {"width": 1200, "height": 1000}}, ""),
    "site": ("/site/gz", WIDE, ""),
    "map": ("/map", WIDE, ""),
    "decisions": ("/decisions?src=gz&dst=cc", WIDE, ""),
}


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "pictures")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, hubs_and_collector(Path(data)) as (hubs, api), chromium() as browser:
        page = str(httpx.get(api).headers["location"]).rstrip("/")
        time.sleep(WELL_S)
        hubs.cut("gz", "cc")
        hubs.lost["bj", "nx"] = 0.2
        time.sleep(WRONG_S)
        for name, (path, options, pointed_at) in PICTURES.items():
            with tab(browser, **options) as opened:
                _take(opened, page + path, folder / f"{name}.png", pointed_at)
            print(folder / f"{name}.png")


def _take(opened: Tab, address: str, file: Path, pointed_at: str) -> None:
    opened.open(address)
    if pointed_at:
        opened.page.locator(pointed_at).first.hover()
    opened.page.wait_for_timeout(4000)  # charts are drawn, the newest figures are there
    opened.page.screenshot(path=file)


if __name__ == "__main__":
    main()
