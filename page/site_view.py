"""One site: what it says of itself, and its links in both directions."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Request
from nicegui import ui

from linkweather.models.state import LinkAnswer
from linkweather.units import age, duration, percent, rate
from page.incident_lines import incidents, line
from page.link_lines import next_test_cell, site_lines
from page.link_metrics import LINK_FORMS, known
from page.mesh_follower import MeshFollower
from page.page_frame import FIRST_ANSWER_S, REFRESH_S, Visit, framed, incident, lines, tag, text
from page.words import message

_COLUMNS: tuple[tuple[str, Callable[[LinkAnswer], str]], ...] = (
    (message("RTT"), lambda link: duration(link.rtt_p50_s)),
    (message("loss"), lambda link: "–" if link.loss_ratio is None else f"{percent(link.loss_ratio)} %"),
    (message("goodput"), lambda link: rate(link.goodput_bps)),
    (message("age"), lambda link: age(link.age_s)),
)


def add_site_view(follower: MeshFollower) -> None:
    """Add the view to the page."""

    @ui.page("/site/{site}")
    async def site_page(site: str, request: Request) -> None:
        await follower.first_look(FIRST_ANSWER_S)
        SiteView(follower, Visit.of(request), site).build()
        await ui.context.client.connected()


class SiteView:
    """One viewer's view of one site."""

    def __init__(self, follower: MeshFollower, visit: Visit, site: str) -> None:
        self._follower, self._visit, self._words, self._site = follower, visit, visit.words, site
        self._shown = -1

    def build(self) -> None:
        """Build it."""
        with framed(self._visit, self._follower, self._site):
            self._body = ui.refreshable(self._build_body)
            self._body()
        ui.timer(REFRESH_S, self._refresh)

    def _refresh(self) -> None:
        if self._shown != self._follower.version:
            self._shown = self._follower.version
            self._body.refresh()

    def _build_body(self) -> None:
        t, view = self._words, self._follower.view
        with tag("section", "headline"):
            text("h1", self._site)
            for one in incidents(view):
                if one.until is None and any(self._site in {found.src, found.dst} for found in one.findings):
                    incident(line(one, t), t("acknowledge"))
        site = view.sites.get(self._site)
        if site is None:
            text("p", t("The mesh has no site {site}.", site=self._site), "empty")
            return
        lines(site_lines(site, t))
        self._listing(t("Links from here"), [one for one in view.links.values() if one.src == self._site])
        self._listing(t("Links to here"), [one for one in view.links.values() if one.dst == self._site])

    def _listing(self, title: str, links: list[LinkAnswer]) -> None:
        t = self._words
        with tag("section", "section"):
            text("h2", title)
            with tag("div", "wide"), tag("table", "listing"):
                with tag("thead"), tag("tr"):
                    for heading in (t("link"), t("state")):
                        text("th", heading, scope="col")
                    for name, _ in _COLUMNS:
                        text("th", t(name), "figure", scope="col")
                    text("th", t("next throughput test"), scope="col")
                with tag("tbody"):
                    for one in links:
                        with tag("tr"):
                            with tag("td"):
                                text("a", f"{one.src} → {one.dst}", href=f"/link/{one.src}/{one.dst}")
                            text("td", t(LINK_FORMS[known(one.state)].name))
                            for _, show in _COLUMNS:
                                text("td", show(one), "figure")
                            text("td", next_test_cell(one, t))
