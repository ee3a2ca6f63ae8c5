"""Tables of what a mesh costs: figures are whole in 80 columns."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from linkweather.cli.site_tables import MOST_SITES, sites_cost_table
from linkweather.mesh.mesh_costs import SiteCost


def test_long_names_and_the_last_line_cut_no_figure() -> None:
    long = "a-site-with-the-longest-of-names"
    sites = [SiteCost(f"s{number:05d}", 50_000_000_000, 1e9, 1e12, 1e11, 1.27e12) for number in range(MOST_SITES)]
    output = StringIO()
    Console(file=output, width=80).print(sites_cost_table([SiteCost(long, None, 1e9, 2e12, 1e11, 1.27e12), *sites]))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.endswith(" 1.27 TB ") for line in lines) == MOST_SITES
