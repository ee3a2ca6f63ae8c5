"""The sites on a map of their coordinates. A room of its own, as each view is."""

from __future__ import annotations

from fastapi import Request
from nicegui import ui

from page.chart_parts import DARK, LIGHT, ChartInk
from page.map_chart import map_chart
from page.mesh_follower import MeshFollower
from page.page_frame import FIRST_ANSWER_S, Visit, framed, is_dark, tag, text

_REDRAW_S = 5.0


def add_map_view(follower: MeshFollower) -> None:
    """Add the view to the page."""

    @ui.page("/map")
    async def show_map(request: Request) -> None:
        await follower.first_look(FIRST_ANSWER_S)
        view = MapView(follower, Visit.of(request))
        view.build()
        await ui.context.client.connected()
        await view.draw()


class MapView:
    """One viewer's map."""

    def __init__(self, follower: MeshFollower, visit: Visit) -> None:
        self._follower, self._visit, self._words = follower, visit, visit.words
        self._chart: ui.echart | None = None
        self._ink: ChartInk = LIGHT
        self._shown = -1

    def build(self) -> None:
        """Build all but the map, which waits for the browser."""
        t = self._words
        with framed(self._visit, self._follower, t("map"), "/map"):
            with tag("section", "headline"):
                text("h1", t("Sites and links by their coordinates"))
                text(
                    "p",
                    t("The wider a line, the higher its goodput; broken and red is down, amber is degraded."),
                    "soft small",
                )
                text(
                    "p",
                    t("Violet with an arrow: a leg of a path that goes through a relay for its latency."),
                    "soft small",
                )
            self._place = tag("div")

    async def draw(self) -> None:
        """Draw it, and keep it current."""
        self._ink = DARK if await is_dark(self._visit) else LIGHT
        self._redraw()
        ui.timer(_REDRAW_S, self._redraw)

    def _redraw(self) -> None:
        if self._shown == self._follower.version:
            return
        self._shown = self._follower.version
        options = map_chart(self._follower.view, self._ink, self._words)
        if options is None:
            self._place.clear()
            with self._place:
                text(
                    "p", self._words("No site of the mesh has coordinates: give them latitude and longitude."), "empty"
                )
        elif self._chart is None:
            with self._place:
                self._chart = ui.echart(options, on_point_click=lambda event: _open(event.name)).classes("chart map")
                self._chart.props.update({"role": "img", "aria-label": self._words("map")})
        else:
            self._chart.options.clear()
            self._chart.options.update(options)
            self._chart.update()


def _open(name: str) -> None:
    ends = name.split(" → ")
    ui.navigate.to(f"/link/{ends[0]}/{ends[1]}" if len(ends) == 2 else f"/site/{name}")
