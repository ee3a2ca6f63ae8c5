"""One link over time: the smoke of its RTT, its goodput, and all that is known of it now."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from nicegui import ui

from linkweather.errors import LinkweatherError
from linkweather.models.incidents import IncidentAnswer
from linkweather.models.link_history import LinkHistoryAnswer, LinkMarksAnswer, SlaFigures
from page.chart_parts import DARK, LIGHT, ChartInk
from page.goodput_chart import goodput
from page.incident_lines import incidents
from page.link_lines import full, sla_line
from page.mesh_follower import MeshFollower
from page.page_frame import FIRST_ANSWER_S, REFRESH_S, Visit, address, framed, is_dark, lines, tag, text
from page.path_chart import height_px, path_lanes, path_sentence
from page.smoke_chart import csv_lines, legend, smoke
from page.words import message

SPANS: Mapping[str, str] = {
    "1h": message("hour"),
    "24h": message("day"),
    "7d": message("week"),
    "30d": message("month"),
    "365d": message("year"),
}
DEFAULT_SPAN = "1h"
MARKED_SPANS = ("1h", "24h", "7d")
MARKS_EVERY_S = 60.0
_TITLES: Mapping[str, str] = {"goodput": message("Goodput"), "path": message("Path")}
_STEPS: Mapping[str, str] = {"1h": "10s"}  # finer than what the API would choose
_REDRAW_S: Mapping[str, float] = {"1h": 10.0, "24h": 60.0}  # of a longer span nothing is seen to change


def add_link_view(app: FastAPI, follower: MeshFollower) -> None:
    """Add the view, and its figures as CSV, to the page."""

    @ui.page("/link/{src}/{dst}")
    async def link(src: str, dst: str, request: Request) -> None:
        await follower.first_look(FIRST_ANSWER_S)
        view = LinkView(follower, Visit.of(request), src, dst)
        view.build()
        await ui.context.client.connected()
        await view.draw()

    @app.get("/link/{src}/{dst}/history.csv")
    async def csv(src: str, dst: str, since: str = DEFAULT_SPAN) -> PlainTextResponse:
        try:
            answer = await follower.client.link_history(src, dst, since=since)
        except LinkweatherError as error:
            return PlainTextResponse(f"{error}\n", status_code=502)
        name = f"{answer.src}-{answer.dst}-{answer.since:%Y%m%dT%H%M%S}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return PlainTextResponse("\n".join(csv_lines(answer)) + "\n", media_type="text/csv", headers=headers)


class LinkView:
    """One viewer's view of one link."""

    def __init__(self, follower: MeshFollower, visit: Visit, src: str, dst: str) -> None:
        self._follower, self._visit, self._words = follower, visit, visit.words
        self._src, self._dst = src, dst
        since = visit.parameters.get("since", "")
        self._since = since if since in SPANS else DEFAULT_SPAN
        self._shown = -1
        self._sla: SlaFigures | None = None
        self._marks: list[LinkMarksAnswer | None] = [None, None]  # there, and back
        self._path_said = ""
        self._ink: ChartInk = LIGHT
        self._charts: dict[str, ui.echart] = {}

    def build(self) -> None:
        """Build it, but for the charts, which wait for the browser."""
        t, there, back = self._words, f"{self._src} → {self._dst}", f"{self._dst} → {self._src}"
        with framed(self._visit, self._follower, there):
            with tag("section", "headline"):
                text("h1", there)
                text("a", back, "soft small", href=f"/link/{self._dst}/{self._src}")
            self._tools()
            text("h2", t("RTT"))
            self._smoke = tag("div")
            with tag("div", "legend"):
                for mark, said in legend(t):
                    with tag("span", "entry"):
                        tag("span", f"mark m-{mark}")
                        text("span", said)
            self._goodput = tag("section", "section")
            self._path = tag("section", "section")
            with tag("section", "section"):
                text("h2", t("Now"))
                self._facts = ui.refreshable(self._build_facts)
                self._facts()

    def _tools(self) -> None:
        t = self._words
        with tag("div", "tools"):
            with tag("div", "choices", role="group", **{"aria-label": t("Span")}):
                for since, name in SPANS.items():
                    pressed = "true" if since == self._since else "false"
                    button = text("button", t(name), type="button", **{"aria-pressed": pressed})
                    button.on("click", lambda since=since: self._span(since))
            with tag("div", "right"):
                target = address(f"/link/{self._src}/{self._dst}/history.csv", {"since": self._since})
                text("a", "CSV", "action", href=target)
                text("button", "PNG", "action", type="button").on("click", self._picture)

    def _span(self, since: str) -> None:
        kept = {**self._visit.parameters, "since": "" if since == DEFAULT_SPAN else since}
        ui.navigate.to(address(f"/link/{self._src}/{self._dst}", kept))

    async def draw(self) -> None:
        """Draw the charts, and keep them and the figures current."""
        self._ink = DARK if await is_dark(self._visit) else LIGHT
        await self._ask_marks()
        await self._redraw()
        with contextlib.suppress(LinkweatherError):
            self._sla = (await self._follower.client.sla(src=self._src, dst=self._dst)).together
        if self._since in _REDRAW_S:
            ui.timer(_REDRAW_S[self._since], self._redraw, immediate=False)
            ui.timer(MARKS_EVERY_S, self._ask_marks, immediate=False)
        ui.timer(REFRESH_S, self._refresh)

    async def _redraw(self) -> None:
        t = self._words
        try:
            there = await self._history(self._src, self._dst)
        except LinkweatherError as error:
            if not self._charts:
                self._smoke.clear()
                with self._smoke:
                    text("p", str(error), "empty")
            return
        back = None
        with contextlib.suppress(LinkweatherError):
            back = await self._history(self._dst, self._src)
        marks, way_back = self._marks
        tests = (marks.tests if marks else (), way_back.tests if way_back else ())
        self._draw("smoke", self._smoke, smoke(there, back, self._incidents(), self._ink, t, tests=tests))
        self._draw("goodput", self._goodput, goodput(there, back, self._ink, t, tests[0] + tests[1]))
        if marks is not None:
            said = path_sentence(marks, t)
            if said != self._path_said:  # the path changed: other lanes, another height
                self._path_said = said
                self._charts.pop("path", None)
            self._draw("path", self._path, path_lanes(marks, there, self._ink, t))

    async def _ask_marks(self) -> None:
        """Ask for what happened on the link, both ways; of long spans the rows are mostly gone."""
        if self._since not in MARKED_SPANS:
            return
        for number, (src, dst) in enumerate(((self._src, self._dst), (self._dst, self._src))):
            with contextlib.suppress(LinkweatherError):
                self._marks[number] = await self._follower.client.link_marks(src, dst, since=self._since)

    def _draw(self, name: str, place: ui.element, options: dict[str, object] | None) -> None:
        if options is None:
            return
        chart = self._charts.get(name)
        if chart is None:
            place.clear()
            with place:
                if name in _TITLES:
                    text("h2", self._words(_TITLES[name]))
                if name == "path":
                    text("p", self._path_said, "soft small")
                label = {"role": "img", "aria-label": f"{name}: {self._src} → {self._dst}"}
                chart = ui.echart(options).classes("chart" if name == "smoke" else "chart low")
                if name == "path":
                    chart.style(f"height: {height_px(options)}px")
                chart.props.update(label)
            self._charts[name] = chart
        else:
            chart.options.clear()
            chart.options.update(options)
            chart.update()

    async def _history(self, src: str, dst: str) -> LinkHistoryAnswer:
        return await self._follower.client.link_history(src, dst, since=self._since, step=_STEPS.get(self._since))

    def _incidents(self) -> list[IncidentAnswer]:
        pair = {self._src, self._dst}
        return [
            one
            for one in incidents(self._follower.view)
            if any({finding.src, finding.dst} <= pair | {None} and finding.src for finding in one.findings)
        ]

    def _refresh(self) -> None:
        if self._shown != self._follower.version:
            self._shown = self._follower.version
            self._facts.refresh()

    def _build_facts(self) -> None:
        t, found = self._words, self._follower.view.links.get((self._src, self._dst))
        if found is None:
            text("p", t("The mesh has no link {src} → {dst}.", src=self._src, dst=self._dst), "empty")
        else:
            shown = full(self._follower.view, found, t)
            lines([*shown, sla_line(self._sla, t)] if self._sla else shown)

    async def _picture(self) -> None:
        if chart := self._charts.get("smoke"):
            paper = "#ffffff" if self._ink is LIGHT else "#12171b"
            url = await chart.run_chart_method("getDataURL", {"pixelRatio": 2, "backgroundColor": paper}, timeout=10)
            ui.download.content(base64.b64decode(url.partition(",")[2]), f"{self._src}-{self._dst}.png", "image/png")
