"""The pictures of the documents: the page before a collector that hears of played hubs, one link cut, one lossy.

python -m tests.page.screenshots [--folder docs/pictures] [--sites 8]

Eight sites, and a hundred of generated answers: their pictures end in `-100`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.collector.commands.serving import serving
from tests.documents import ROOT
from tests.page.browsing import Tab, chromium, tab
from tests.page.generated_mesh import answers
from tests.page.played_hubs import TOKEN, hubs_and_collector, page_of

WELL_S = 90.0  # all links are up, so that there is something normal
WRONG_S = 60.0
WIDE = {"viewport": {"width": 1200, "height": 760}}
TALL = {"viewport": {"width": 1200, "height": 1000}}
MAP = {"viewport": {"width": 1100, "height": 830}}
_WRITES = {"Authorization": f"Bearer {TOKEN}"}
Picture = tuple[str, Mapping[str, Any], str]
# name → address, how it is looked at, and the cell that is pointed at
PICTURES: Mapping[str, Picture] = {
    "now": ("/", WIDE, ".cell.degraded[data-row]"),
    "now-dark": ("/?metric=goodput&sort=region", {**WIDE, "color_scheme": "dark"}, ""),
    "now-phone": ("/?lang=zh", {"viewport": {"width": 390, "height": 760}, "has_touch": True}, ""),
    "link": ("/link/gz/cc", {"viewport": {"width": 1200, "height": 1340}}, ""),
    "incidents": ("/incidents", WIDE, ""),
    "incidents-zh": ("/incidents?lang=zh", WIDE, ""),
    "site": ("/site/gz", WIDE, ""),
    "map": ("/map", MAP, ""),
    "decisions": ("/decisions?src=gz&dst=cc", TALL, ""),
}
# Of generated answers.
OF_A_HUNDRED: Mapping[str, Picture] = {
    "now-100": ("/?sort=region", {"viewport": {"width": 1400, "height": 1180}}, ""),
    "now-100-regions": ("/?collapse=region&metric=rtt", WIDE, ""),
    "link-100": ("/link/s000/s006", TALL, ""),
    "incidents-100": ("/incidents", WIDE, ""),
    "site-100": ("/site/s000", WIDE, ""),
    "map-100": ("/map", MAP, ""),
    "decisions-100": ("/decisions?src=s000", TALL, ""),
}


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--sites", type=int, choices=[*DRAWN], action="append")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    for sites in asked.sites or DRAWN:
        DRAWN[sites](asked.folder)


def _eight(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as data, hubs_and_collector(Path(data)) as (hubs, api):
        page = str(httpx.get(api).headers["location"]).rstrip("/")
        time.sleep(WELL_S)
        hubs.cut("gz", "cc")
        hubs.detours.add(("gz", "cc"))
        hubs.lost["bj", "nx"] = 0.2
        time.sleep(WRONG_S)
        repairs = {"src": "bj", "dst": "nx", "reason": "a new switch", "until": "2h"}
        httpx.post(f"{api}/api/v1/silences", json=repairs, headers=_WRITES).raise_for_status()
        _draw(page, PICTURES, folder)


def _hundred(folder: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as data,
        serving(answers(100, 99)) as api,
        page_of(api, Path(data)) as page,
    ):
        _draw(page, OF_A_HUNDRED, folder)


DRAWN: Mapping[int, Callable[[Path], None]] = {8: _eight, 100: _hundred}


def _draw(page: str, pictures: Mapping[str, Picture], folder: Path) -> None:
    with chromium() as browser:
        for name, (path, options, pointed_at) in pictures.items():
            file = folder / f"{name}.{'jpg' if options is MAP else 'png'}"
            with tab(browser, **options) as opened:
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
