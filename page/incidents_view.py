"""The incidents: those that last, a form that acknowledges and silences, and those of a span that are over."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request
from nicegui import ui

from linkweather.errors import LinkweatherError
from linkweather.models.incidents import IncidentAnswer
from page.incident_lines import IncidentLine, headline, incidents, line
from page.mesh_follower import MeshFollower
from page.page_frame import FIRST_ANSWER_S, REFRESH_S, Visit, address, framed, incident, tag, text
from page.silence_form import SilenceForm
from page.words import message

SPANS: Mapping[str, str] = {"24h": message("day"), "7d": message("week"), "30d": message("month")}
DEFAULT_SPAN = "24h"
SILENCES_EVERY_S = 10.0
_MOST = 200


def add_incidents_view(follower: MeshFollower) -> None:
    """Add the view to the page."""

    @ui.page("/incidents")
    async def incidents_page(request: Request) -> None:
        await follower.first_look(FIRST_ANSWER_S)
        view = IncidentsView(follower, Visit.of(request))
        view.build()
        await ui.context.client.connected()
        await view.ask()


class IncidentsView:
    """One viewer's view of the incidents."""

    def __init__(self, follower: MeshFollower, visit: Visit) -> None:
        self._follower, self._visit, self._words = follower, visit, visit.words
        since = visit.parameters.get("since", "")
        self._since = since if since in SPANS else DEFAULT_SPAN
        self._over: tuple[IncidentAnswer, ...] | str = ()
        self._shown: tuple[str, list[IncidentLine]] | None = None
        self._form = SilenceForm(follower, visit)

    def build(self) -> None:
        """Build it."""
        t = self._words
        with framed(self._visit, self._follower, t("incidents"), "/incidents"):
            self._head = ui.refreshable(self._build_head)
            with tag("section", "headline", **{"aria-live": "polite"}):
                self._head()
            with tag("section", "section"):
                self._form.build()
            with tag("section", "section"):
                text("h2", t("Over"))
                with tag("div", "choices", role="group", **{"aria-label": t("Span")}):
                    for since, name in SPANS.items():
                        pressed = "true" if since == self._since else "false"
                        button = text("button", t(name), type="button", **{"aria-pressed": pressed})
                        button.on("click", lambda since=since: self._span(since))
                self._past = ui.refreshable(self._build_past)
                self._past()
        ui.timer(REFRESH_S, self._refresh)
        ui.timer(SILENCES_EVERY_S, self._form.ask, immediate=False)

    async def ask(self) -> None:
        """Ask for what is over, and for the silences."""
        await self._form.ask()
        try:
            found = await self._follower.client.incidents(since=self._since, limit=_MOST)
            self._over = tuple(one for one in found.incidents if one.until and one.merged_into is None)
        except LinkweatherError as error:
            self._over = str(error)
        self._past.refresh()

    def _span(self, since: str) -> None:
        kept = {name: value for name, value in self._visit.parameters.items() if name in {"lang", "theme"}}
        ui.navigate.to(address("/incidents", {"since": "" if since == DEFAULT_SPAN else since, **kept}))

    def _refresh(self) -> None:
        if self._head_of() != self._shown:
            self._head.refresh()

    def _head_of(self) -> tuple[str, list[IncidentLine]]:
        view, t = self._follower.view, self._words
        return headline(view, t), [line(one, t, view.at) for one in incidents(view) if one.until is None]

    def _build_head(self) -> None:
        self._shown = sentence, found = self._head_of()
        text("h1", sentence)
        for one in found:
            incident(one, self._words("acknowledge"))

    def _build_past(self) -> None:
        if isinstance(self._over, str):
            text("p", self._over, "empty")
            return
        if not self._over:
            text("p", self._words("None."), "soft small")
        for one in self._over:
            incident(line(one, self._words))
