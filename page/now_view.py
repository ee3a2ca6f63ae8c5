"""The first view: what is wrong, and the grid of sites × sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from fastapi import Request
from nicegui import ui

from page.incident_lines import IncidentLine, closed_today, headline, incidents, line
from page.link_lines import brief, sparkline
from page.link_metrics import CHANGE, LINK_FORMS, LINK_METRICS, STATE
from page.matrix import COLLAPSES, LEVELS, SORTS, Matrix, MatrixQuestion, changed_cells, for_browser, matrix
from page.mesh_follower import MeshFollower
from page.mesh_picture import MeshPicture
from page.page_frame import FIRST_ANSWER_S, REFRESH_S, Visit, address, framed, incident, lines, selection, tag, text
from page.words import Words

_MOST_INCIDENTS = 8
_MOST_OVER = 3


def add_now_view(follower: MeshFollower) -> None:
    """Add the view to the page."""

    @ui.page("/")
    async def now(request: Request) -> None:
        await follower.first_look(FIRST_ANSWER_S)
        NowView(follower, Visit.of(request)).build()
        await ui.context.client.connected()


class NowView:
    """One viewer's first view."""

    def __init__(self, follower: MeshFollower, visit: Visit) -> None:
        self._follower, self._visit, self._words = follower, visit, visit.words
        self._question = MatrixQuestion.of(visit.parameters)
        self._shown = -1
        self._looked_at: tuple[str, str] | None = None

    def build(self) -> None:
        """Build it."""
        t = self._words
        with framed(self._visit, self._follower, t("now"), "/"):
            self._head = ui.refreshable(self._build_head)
            self._board = ui.refreshable(self._build_board)
            self._card = ui.refreshable(self._build_card)
            with tag("section", "headline", **{"aria-live": "polite"}):
                self._head()
            self._board()
        ui.timer(REFRESH_S, self._refresh)

    async def _refresh(self) -> None:
        if self._question.metric == CHANGE:
            await self._follower.ask_usual()
        if self._shown == self._follower.version:
            return
        view = self._follower.view
        self._shown = self._follower.version
        if self._head_of(view) != self._head_shown:
            self._head.refresh()
        if bool(view.links and view.sites) != self._has_links:
            self._board.refresh()
        elif self._has_links:
            self._grid.show(matrix(view, self._question))
            self._card.refresh()

    def _head_of(self, view: MeshPicture) -> tuple[str, int, list[IncidentLine]]:
        found = [line(one, self._words, view.at) for one in incidents(view)]
        return headline(view, self._words), closed_today(view), found

    def _build_head(self) -> None:
        t, view = self._words, self._follower.view
        self._head_shown = sentence, closed, found = self._head_of(view)
        text("h1", sentence)
        lasting = [one for one in found if one.lasts]
        for one in lasting[:_MOST_INCIDENTS]:
            incident(one, t("acknowledge"))
        if len(lasting) > _MOST_INCIDENTS:
            text("p", t("and {n} more", n=len(lasting) - _MOST_INCIDENTS), "soft")
        if closed:
            with tag("details", "soft small"):
                text("summary", t.plural("{n} closed in the last day", "{n} closed in the last day", closed))
                for one in [one for one in found if not one.lasts][:_MOST_OVER]:
                    incident(one)

    def _build_board(self) -> None:
        view = self._follower.view
        self._has_links = bool(view.links and view.sites)
        if not self._has_links:
            self._build_empty()
            return
        grid = matrix(view, self._question)
        with tag("div", "board"):
            with tag("div", "left"):
                self._grid = SiteGrid(grid, self._words, self._look)
                self._legend()
            with tag("div", "right"):
                self._controls()
                with tag("div", "card"):
                    self._card()

    def _build_empty(self) -> None:
        t = self._words
        with tag("div", "empty"):
            text("p", t("Nothing is measured yet. On each site run"))
            text("code", "linkweather probe --site SITE --broker mqtt://BROKER")
            text("p", t("and the first figures are here some seconds later. The sites are those of the mesh file:"))
            text("code", "linkweather mesh check mesh.toml")

    def _controls(self) -> None:
        t, question = self._words, self._question
        with tag("div", "controls"):
            text("span", t("Metric"), "soft small")
            with tag("div", "choices", role="group", **{"aria-label": t("Metric")}):
                for key, metric in LINK_METRICS.items():
                    pressed = "true" if key == question.metric else "false"
                    attributes = {"aria-pressed": pressed, "title": t(metric.what)}
                    button = text("button", t(metric.label), type="button", **attributes)
                    button.on("click", lambda key=key: self._ask(metric=key))
            selection(t("Sort"), self._named(SORTS), question.sort, lambda value: self._ask(sort=value))
            collapse = question.collapse_of(len(self._follower.view.sites))
            selection(t("Collapse"), self._named(COLLAPSES), collapse, lambda value: self._ask(collapse=value))
            if question.src or question.dst:
                text("span", t("Only"), "soft small")
                with tag("span"):
                    text("span", f"{question.src or '*'} → {question.dst or '*'} ")
                    text("a", t("all"), href=address("/", question.parameters(src="", dst="")))

    def _named(self, choices: Mapping[str, str]) -> dict[str, str]:
        return {value: self._words(name) for value, name in choices.items()}

    def _ask(self, **changes: str) -> None:
        self._question = replace(self._question, **changes)
        kept = {name: value for name, value in self._visit.parameters.items() if name in {"lang", "theme"}}
        ui.navigate.history.replace(address("/", {**self._question.parameters(), **kept}))
        self._board.refresh()

    def _look(self, src: str, dst: str) -> None:
        if (src, dst) != self._looked_at:
            self._looked_at = src, dst
            self._card.refresh()

    def _build_card(self) -> None:
        t, view, pair = self._words, self._follower.view, self._looked_at
        shown = brief(view, *pair, t) if pair else []
        if pair is None or not shown:
            text("h2", f"{pair[0]} → {pair[1]}" if pair else t("A link"))
            text("p", t("Point at a cell for its figures; click it for its history."), "soft small")
            return
        with tag("h2"):
            text("a", f"{pair[0]} → {pair[1]}", href=f"/link/{pair[0]}/{pair[1]}")
        lines(shown)
        if curve := sparkline(view.rtts.get(pair, ())):
            ui.html(curve, sanitize=False)

    def _legend(self) -> None:
        t = self._words
        with tag("div", "legend"):
            for state, form in LINK_FORMS.items():
                with tag("span", "entry"):
                    with tag("span", "sample grid state"):
                        tag("span", f"cell l0 {state}")
                    text("span", f"{t(form.name)}: {t(form.form)}")
            with tag("span", "entry"):
                with tag("span", "sample grid"):
                    tag("span", "cell oneway")
                text("span", t("worse this way than back"))
            if self._question.metric != STATE:
                with tag("span", "entry"):
                    text("span", t("good"))
                    with tag("span", "sample steps"):
                        for level in range(LEVELS):
                            tag("span", f"cell l{level}")
                    text("span", t("bad"))


class SiteGrid(ui.element, component="grid.js"):
    """Shows a grid; `on_look` hears of the row and the column that are pointed at or have the focus."""

    def __init__(self, grid: Matrix, words: Words, on_look: Callable[[str, str], None]) -> None:
        super().__init__()
        self._grid, self._words = grid, words
        self._props["grid"] = for_browser(grid, words)
        self.on("look", lambda event: on_look(*event.args))

    def show(self, grid: Matrix) -> None:
        """Show another grid: what changed, if the rest is the same."""
        changes = changed_cells(self._grid, grid)
        self._grid = grid
        if changes is None:
            self._props["grid"] = for_browser(grid, self._words)
            self.update()
        elif changes:
            cells = self._props["grid"]["cells"]
            for row, column, cell in changes:
                cells[row][column] = cell
            self.run_method("patch", changes)
