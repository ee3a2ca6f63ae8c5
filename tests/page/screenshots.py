"""The pictures of the documents: the page before a collector that hears of played hubs, one link cut and one lossy.

python -m tests.page.screenshots [--folder docs/pictures] [--sites 8]

Eight sites and a hundred, each view; what a hundred are drawn of ends in `-100`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.documents import ROOT
from tests.page.browsing import Tab, chromium, tab
from tests.page.played_hubs import HUBS, INTERVAL_S, TOKEN, Hub, hubs_and_collector, many_hubs

WIDE = {"viewport": {"width": 1200, "height": 760}}
TALL = {"viewport": {"width": 1200, "height": 1000}}
MAP = {"viewport": {"width": 1100, "height": 830}}
_WRITES = {"Authorization": f"Bearer {TOKEN}"}
Picture = tuple[str, Mapping[str, Any], str]


@dataclass(frozen=True, slots=True)
class Sitting:
    """A mesh that is drawn: its hubs, the pair that is cut, the lossy link, and how long all is well and then wrong.

    `pictures`: name → address, how it is looked at, and the cell that is pointed at.
    """

    hubs: Sequence[Hub]
    interval_s: float
    cut: tuple[str, str]
    lossy: tuple[str, str]
    well_s: float
    wrong_s: float
    pictures: Mapping[str, Picture]


SITTINGS: Mapping[int, Sitting] = {
    8: Sitting(
        hubs=HUBS,
        interval_s=INTERVAL_S,
        cut=("gz", "cc"),
        lossy=("bj", "nx"),
        well_s=90.0,
        wrong_s=60.0,
        pictures={
            "now": ("/", WIDE, ".cell.degraded[data-row]"),
            "now-dark": ("/?metric=goodput&sort=region", {**WIDE, "color_scheme": "dark"}, ""),
            "now-phone": ("/?lang=zh", {"viewport": {"width": 390, "height": 760}, "has_touch": True}, ""),
            "link": ("/link/gz/cc", {"viewport": {"width": 1200, "height": 1340}}, ""),
            "incidents": ("/incidents", WIDE, ""),
            "incidents-zh": ("/incidents?lang=zh", WIDE, ""),
            "site": ("/site/gz", WIDE, ""),
            "map": ("/map", MAP, ""),
            "decisions": ("/decisions?src=gz&dst=cc", TALL, ""),
        },
    ),
    100: Sitting(
        hubs=many_hubs(100),
        interval_s=10.0,
        cut=("s000", "s006"),
        lossy=("s001", "s004"),
        well_s=90.0,
        wrong_s=75.0,
        pictures={
            "now-100": ("/?sort=region", {"viewport": {"width": 1400, "height": 1180}}, ".cell.degraded[data-row]"),
            "now-100-regions": ("/?collapse=region&metric=rtt", WIDE, ""),
            "link-100": ("/link/s000/s006", {"viewport": {"width": 1200, "height": 1240}}, ""),
            "incidents-100": ("/incidents", WIDE, ""),
            "site-100": ("/site/s000", WIDE, ""),
            "map-100": ("/map", MAP, ""),
            "decisions-100": ("/decisions?src=s000&dst=s006", TALL, ""),
        },
    ),
}


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--sites", type=int, choices=[*SITTINGS], action="append")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    for sites in asked.sites or SITTINGS:
        _draw(SITTINGS[sites], asked.folder)


def _draw(sitting: Sitting, folder: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as data,
        hubs_and_collector(Path(data), sitting.hubs, sitting.interval_s) as (hubs, api),
        chromium() as browser,
    ):
        page = str(httpx.get(api).headers["location"]).rstrip("/")
        time.sleep(sitting.well_s)
        hubs.cut(*sitting.cut)
        hubs.detours.add(sitting.cut)
        hubs.lost[sitting.lossy] = 0.2
        time.sleep(sitting.wrong_s)
        repairs = {"src": sitting.lossy[0], "dst": sitting.lossy[1], "reason": "a new switch", "until": "2h"}
        httpx.post(f"{api}/api/v1/silences", json=repairs, headers=_WRITES).raise_for_status()
        for name, (path, options, pointed_at) in sitting.pictures.items():
            with tab(browser, **options) as opened:
                file = folder / f"{name}.{'jpg' if options is MAP else 'png'}"
                _take(opened, page + path, file, pointed_at)
            print(file)


def _take(opened: Tab, address: str, file: Path, pointed_at: str) -> None:
    opened.open(address)
    if pointed_at:
        opened.page.locator(pointed_at).first.hover()
    opened.page.wait_for_timeout(4000)  # charts are drawn, the newest figures are there
    if file.suffix == ".jpg":  # many crossing lines, of which a PNG is large
        opened.page.screenshot(path=file, type="jpeg", quality=70)
    else:
        opened.page.screenshot(path=file)


if __name__ == "__main__":
    main()
