"""The decisions: from a source to all others, and forms that ask for one route and for a job's site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fastapi import Request
from nicegui import ui

from linkweather import settings
from linkweather.errors import LinkweatherError, UnitError
from linkweather.models.placements import Job, PlacementAnswer, job_values
from linkweather.models.routes import RouteAnswer
from linkweather.models.scores import EvaluationAnswer
from linkweather.units import parse_size
from page.mesh_follower import SCORE_EVERY_S, MeshFollower
from page.page_frame import (
    FIRST_ANSWER_S,
    REFRESH_S,
    Visit,
    address,
    field,
    framed,
    selection,
    submitted,
    table,
    tag,
    text,
)
from page.placement_rows import (
    FIELDS,
    HEADINGS,
    claims_rows,
    job_texts,
    placement_rows,
    placement_score,
    placement_sentences,
)
from page.route_rows import OBJECTIVES, path_rows, route_rows, route_sentence, score_rows
from page.words import Words

_DEFAULT_BYTES = "1TB"


def add_decisions_view(follower: MeshFollower) -> None:
    """Add the view to the page."""

    @ui.page("/decisions")
    async def decisions(request: Request) -> None:
        await follower.first_look(FIRST_ANSWER_S)
        view = DecisionsView(follower, Visit.of(request))
        view.build()
        await ui.context.client.connected()
        await view.ask()
        await view.ask_score()


@dataclass(frozen=True, slots=True)
class _Asked:
    src: str
    dst: str
    objective: str
    bytes: str


class DecisionsView:
    """One viewer's decisions."""

    def __init__(self, follower: MeshFollower, visit: Visit) -> None:
        self._follower, self._visit, self._words = follower, visit, visit.words
        given, sites = visit.parameters, [*follower.view.sites]
        objective = given.get("objective", "latency")
        self._asked = _Asked(
            src=given.get("src") or (sites[0] if sites else ""),
            dst=given.get("dst", ""),
            objective=objective if objective in OBJECTIVES else "latency",
            bytes=given.get("bytes", _DEFAULT_BYTES),
        )
        self._answer: RouteAnswer | str | None = None
        self._seen: object = None
        self._score: EvaluationAnswer | None = None

    def build(self) -> None:
        """Build it."""
        t = self._words
        with framed(self._visit, self._follower, t("decisions"), "/decisions"):
            with tag("section", "headline"):
                text("h1", t("Which path data should take now"))
            self._form()
            self._reply = ui.refreshable(self._build_reply)
            self._listing = ui.refreshable(self._build_listing)
            with tag("section", **{"aria-live": "polite"}):
                self._reply()
            with tag("section", "section"):
                self._listing()
            with tag("section", "section"):
                PlacementForm(self._follower, t).build()
            self._judged = ui.refreshable(self._build_scores)
            with tag("section", "section"):
                self._judged()
        ui.timer(REFRESH_S, self._refresh)
        ui.timer(SCORE_EVERY_S, self.ask_score, immediate=False)

    def _form(self) -> None:
        t, names = self._words, {name: name for name in self._follower.view.sites}
        objectives = {key: t(name) for key, name in OBJECTIVES.items()}
        with tag("div", "tools"):
            selection(t("from"), names, self._asked.src, lambda value: self._change(src=value))
            selection(t("to"), {"": t("all"), **names}, self._asked.dst, lambda value: self._change(dst=value))
            selection(t("by"), objectives, self._asked.objective, lambda value: self._change(objective=value))
            text("span", t("bytes"), "soft small")
            size = tag("input", "field", defaultValue=self._asked.bytes, size="8", **{"aria-label": t("bytes")})
            size.on("change", lambda event: self._change(bytes=event.args), js_handler="(e) => emit(e.target.value)")

    async def _change(self, **changes: str) -> None:
        self._asked = replace(self._asked, **changes)
        asked = self._asked
        kept = {name: value for name, value in self._visit.parameters.items() if name in {"lang", "theme"}}
        size = "" if asked.bytes == _DEFAULT_BYTES else asked.bytes
        shown = {"src": asked.src, "dst": asked.dst, "objective": asked.objective, "bytes": size}
        ui.navigate.history.replace(address("/decisions", {**shown, **kept}))
        self._listing.refresh()
        await self.ask()

    async def ask(self) -> None:
        """Ask for the one route, if there is a destination."""
        asked = self._asked
        answer = await self._answer_to(asked) if asked.dst else None
        if asked is self._asked:  # else another question was asked meanwhile, and its answer is shown
            self._answer = answer
            self._reply.refresh()

    async def ask_score(self) -> None:
        """Show the newest score of the decisions."""
        self._score = await self._follower.score()
        self._judged.refresh()

    def _build_scores(self) -> None:
        self._build_score()
        self._build_placed()

    def _build_score(self) -> None:
        t, rows = self._words, score_rows(self._score, self._words)
        text("h2", t("How the decisions of the last hour did"))
        if not rows:
            text("p", t("None of them has been measured afterwards yet."), "soft small")
            return
        text("p", t("Regret is how much worse than the path that turned out best; 0 % is perfect."), "soft small")
        headings = (t("by"), t("measured"), t("gain over direct"), t("regret"), t("relayed"), t("of these worse"))
        table(headings, rows, figures_from=1)

    def _build_placed(self) -> None:
        t, rows = self._words, claims_rows(self._score)
        if said := placement_score(self._score, t):
            text("h2", t("How the placements of the last hour did"))
            text("p", said, "soft small")
        if rows:
            headings = (t("site"), t("devices claimed"), t("there"), t("goodputs claimed"), t("true"), t("suspect"))
            table(headings, rows, figures_from=1)

    async def _answer_to(self, asked: _Asked) -> RouteAnswer | str:
        try:
            size = parse_size(asked.bytes) if asked.objective == "completion" else None
            return await self._follower.client.route(
                asked.src,
                asked.dst,
                objective=asked.objective,  # type: ignore[arg-type]  # one of OBJECTIVES
                bytes=size,
            )
        except (LinkweatherError, UnitError) as refusal:
            return str(refusal)

    def _build_reply(self) -> None:
        t, answer = self._words, self._answer
        if answer is None:
            return
        if isinstance(answer, str):
            text("p", answer, "empty")
            return
        text("p", route_sentence(answer, t))
        headings = ("", t("path"), t("RTT"), t("goodput"), t("takes"), t("USD/GB"))
        table(headings, path_rows(answer, t), figures_from=2)

    def _refresh(self) -> None:
        seen = self._follower.view.routes
        if seen is not self._seen:
            self._seen = seen
            self._listing.refresh()

    def _build_listing(self) -> None:
        t, view, asked = self._words, self._follower.view, self._asked
        objective = "goodput" if asked.objective == "completion" else asked.objective
        rows = route_rows(view, objective, asked.src, t)
        if not rows:
            text("p", t("No route has been decided yet: routes follow the first measurements."), "empty")
            return
        text("h2", t("From {src} to all, by {objective}", src=asked.src, objective=t(OBJECTIVES[objective])))
        headings = (t("to"), t("path"), t("direct"), t("chosen"), t("gain"), t("why, since (UTC)"))
        shown = [(row.dst, row.path, row.direct, row.chosen, row.gain, row.why) for row in rows]
        table(headings, shown, figures_from=2, relayed=[row.relayed for row in rows])


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
