"""A form that asks where a job should run. A room of its own beside the routes: the two share only their view."""

from __future__ import annotations

from collections.abc import Mapping

from nicegui import ui

from linkweather import settings
from linkweather.errors import LinkweatherError
from linkweather.models.job_texts import job_values
from linkweather.models.placements import Job, PlacementAnswer
from page.mesh_follower import MeshFollower
from page.page_frame import field, submitted, table, tag, text
from page.placement_rows import FIELDS, HEADINGS, job_texts, placement_rows, placement_sentences
from page.words import Words


class PlacementForm:
    """One viewer's question for a placement, and its answer."""

    def __init__(self, follower: MeshFollower, words: Words) -> None:
        self._follower, self._words = follower, words
        self._answer: PlacementAnswer | str | None = None

    def build(self) -> None:
        """Build it."""
        t = self._words
        text("h2", t("Which site should run a job now"))
        with submitted(self._ask):
            for name, (label, example) in FIELDS.items():
                field(name, t(label), placeholder=example, size="14")
            text("button", t("ask"), "action", type="submit")
        self._reply = ui.refreshable(self._build_reply)
        with tag("div", **{"aria-live": "polite"}):
            self._reply()

    async def _ask(self, form: Mapping[str, str]) -> None:
        try:
            job = settings.validate(job_values(job_texts(form)), Job, self._words("the job"))
            self._answer = await self._follower.client.place(job)
        except LinkweatherError as refusal:
            self._answer = str(refusal).removeprefix("--")
        self._reply.refresh()

    def _build_reply(self) -> None:
        answer, t = self._answer, self._words
        if isinstance(answer, str):
            text("p", answer, "empty")
        elif answer is not None:
            for sentence in placement_sentences(answer, t):
                text("p", sentence)
            if answer.ranking:
                table([t(name) for name in HEADINGS], placement_rows(answer), figures_from=1)
