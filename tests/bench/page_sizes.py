"""How long the page takes to show a large mesh: an API of generated answers, the real page, a real browser.

python -m tests.bench.page_sizes [--sites 1000] [--peers 40] [--picture grid.png]
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from linkweather.models.state import LinkAnswer, SiteAnswer
from page.matrix import MatrixQuestion, for_browser, matrix
from page.mesh_picture import MeshPicture
from page.words import Words
from tests.collector.commands.serving import serving
from tests.page.browsing import chromium, tab
from tests.page.played_hubs import base_rtt_s, many_hubs, page_of

STATES = ("fresh",) * 96 + ("degraded", "stale", "down", "unknown")


def links_of(sites: int, peers: int) -> list[dict[str, Any]]:
    """The links of each site to its next peers, around the circle, as the API answers."""
    names, dice = [hub[0] for hub in many_hubs(sites)], random.Random(1)
    return [
        {
            "src": src,
            "dst": (dst := names[(place + ahead) % sites]),
            "state": dice.choice(STATES),
            "rtt_p50_s": base_rtt_s(src, dst),
            "rtt_age_s": 2.0,
            "age_s": 2.0,
            "loss_ratio": dice.choice((0.0, 0.0, 0.0, 0.01)),
            "jitter_s": 0.0004,
            "goodput_bps": dice.uniform(5e7, 9e9),
        }
        for place, src in enumerate(names)
        for ahead in range(1, min(peers, sites - 1) + 1)
    ]


def sites_of(sites: int) -> list[dict[str, Any]]:
    """The sites as the API answers."""
    return [
        {"site": name, "state": "online", "address": "192.0.2.1", "region": region, "operator": operator,
         "latitude": latitude, "longitude": longitude}
        for name, region, operator, latitude, longitude in many_hubs(sites)
    ]  # fmt: skip


def answers(sites: int, peers: int) -> FastAPI:
    """An API that always gives the same answers."""
    at = datetime.now(UTC).isoformat()
    named = {name: {"address": f"192.0.2.{number}"} for number, name in enumerate(("a", "b"), 1)}
    found: dict[str, Any] = {
        "links": links_of(sites, peers),
        "sites": sites_of(sites),
        "incidents": {"at": at, "sentence": "all is well", "incidents": []},
        "mesh": {"mesh": {"name": f"sites-{sites}", "sites": named}, "links": 2},
        "routes": {"at": at, "objective": "latency", "routes": [], "no_routes": []},
    }
    rendered = {name: JSONResponse(value).body for name, value in found.items()}
    app = FastAPI()

    @app.get("/api/v1/{name}")
    async def answer(name: str) -> Response:
        if name not in rendered:
            return JSONResponse({"error": f"no {name} here"}, status_code=404)
        return Response(bytes(rendered[name]), media_type="application/json")

    return app


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=1000)
    parser.add_argument("--peers", type=int, default=40)
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    view = MeshPicture().with_links(map(LinkAnswer.model_validate, links_of(asked.sites, asked.peers)), 0.0)
    view = view.with_sites(map(SiteAnswer.model_validate, sites_of(asked.sites)), 0.0)
    for collapse in ("none", "region", "operator"):
        begun = time.process_time()
        drawn = for_browser(matrix(view, MatrixQuestion(collapse=collapse)), Words())
        cells, used_s = sum(cell is not None for line in drawn["cells"] for cell in line), time.process_time() - begun
        print(f"{asked.sites} sites, {len(view.links)} links, collapse {collapse}: {cells} cells in {used_s:.2f} s")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(answers(asked.sites, asked.peers)) as api,
        page_of(api, Path(folder)) as page,
        chromium() as browser,
        tab(browser) as opened,
    ):
        for visit in ("first", "second"):
            begun = time.monotonic()
            opened.open(page)
            opened.page.wait_for_selector(".cell[data-row]")
            print(f"{visit} view after {time.monotonic() - begun:.1f} s")
        if asked.picture:
            opened.page.screenshot(path=asked.picture)
        begun = time.monotonic()
        opened.page.get_by_role("button", name="goodput").click()
        opened.page.wait_for_selector("table.goodput .cell[data-row]")
        print(f"another metric after {time.monotonic() - begun:.1f} s")
        server = next(one for one in psutil.Process().children() if "page" in one.cmdline())
        print(f"the page holds {server.memory_info().rss / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
