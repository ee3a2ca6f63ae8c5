"""How long the page takes to show a large mesh: an API of generated answers, the real page, a real browser.

python -m tests.bench.page_sizes [--sites 1000] [--peers 40] [--picture grid.png]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import psutil

from linkweather.models.state import LinkAnswer, SiteAnswer
from page.matrix import MatrixQuestion, for_browser, matrix
from page.mesh_picture import MeshPicture
from page.words import Words
from tests.collector.commands.serving import serving
from tests.page.browsing import chromium, tab
from tests.page.generated_mesh import answers, links_of, sites_of
from tests.page.played_hubs import page_of


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
