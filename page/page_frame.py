"""What all views have in common: who looks and how, the head of the page, and small pieces of HTML."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from nicegui import ui

from page.incident_lines import IncidentLine
from page.link_lines import FigureLine
from page.mesh_follower import MeshFollower
from page.words import LANGUAGES, Words, message, preferred, words

HERE = Path(__file__).parent
VIEWS = {
    "/": message("now"),
    "/incidents": message("incidents"),
    "/map": message("map"),
    "/decisions": message("decisions"),
}
FIRST_ANSWER_S = 2.0
REFRESH_S = 1.0
_THEMES = {"dark": True, "light": False}
_OTHER_THEME = "document.body.classList.contains('body--dark') ? 'light' : 'dark'"
_YEAR = "path=/; max-age=31536000; samesite=lax"


@dataclass(frozen=True, slots=True)
class Visit:
    """Who looks: in which language, in the light or the dark (None: as the system has it), at which parameters.

    `viewer` is the address of the browser.
    """

    words: Words
    dark: bool | None
    parameters: Mapping[str, str]
    viewer: str = "unknown"

    @classmethod
    def of(cls, request: Request) -> Visit:
        """What a request says: its address first, then what was chosen before, then the browser."""
        given, chosen = request.query_params, request.cookies
        language = given.get("lang") or chosen.get("lang") or preferred(request.headers.get("accept-language", ""))
        dark = _THEMES.get(given.get("theme") or chosen.get("theme", ""))
        return cls(words(language), dark, dict(given), request.client.host if request.client else "unknown")


def address(path: str, parameters: Mapping[str, str]) -> str:
    """A path with its parameters, those that are not empty."""
    query = urlencode({name: value for name, value in parameters.items() if value})
    return f"{path}?{query}" if query else path


@contextlib.contextmanager
def framed(visit: Visit, follower: MeshFollower, title: str, current: str = "") -> Iterator[None]:
    """The head of the page, then what the block adds."""
    t = visit.words
    ui.page_title(f"{title} – linkweather")
    ui.add_css(HERE / "page.css")
    ui.add_head_html(f"<script>document.documentElement.lang = '{t.language}'</script>")
    ui.dark_mode(visit.dark)
    with tag("div", "bar"):
        with tag("a", "brand", href="/"):
            text("span", "linkweather")
        name = text("span", "", "soft")
        with tag("nav", **{"aria-label": t("views")}):
            for path, label in VIEWS.items():
                here = {"aria-current": "page"} if path == current else {}
                text("a", t(label), href=path, **here)
        live = text("span", t("live"), "live", role="status")
        with tag("div", "rest"):
            for code, its_name in LANGUAGES.items():
                if code != t.language:
                    _chooser(its_name, "lang", f"'{code}'", lang=code)
            _chooser("◐", "theme", _OTHER_THEME, **{"aria-label": t("light or dark"), "title": t("light or dark")})

    def refresh() -> None:
        view = follower.look()
        name.text = view.name
        live.text = t("live") if view.problem is None else view.problem
        live.classes(add="away" if view.problem else "", remove="" if view.problem else "away")

    refresh()
    yield
    ui.timer(REFRESH_S, refresh)


def _chooser(label: str, cookie: str, value: str, **attributes: str) -> None:
    """A button that remembers a choice, given as JavaScript, and shows the page anew."""
    with tag("button", type="button", **attributes) as button:
        text("span", label)
    button.on(
        "click",
        js_handler=f"""() => {{
            document.cookie = '{cookie}=' + ({value}) + '; {_YEAR}';
            const url = new URL(location.href);
            url.searchParams.delete('{cookie}');
            location.replace(url);
        }}""",
    )


def tag(name: str, classes: str = "", /, **attributes: str) -> ui.element:
    """An element of HTML."""
    element = ui.element(name)
    if classes:
        element.classes(classes)
    element.props.update(attributes)
    return element


class Text(ui.element):
    """An element of HTML whose content is text, which may change."""

    def __init__(self, name: str, content: str, classes: str, attributes: Mapping[str, str]) -> None:
        super().__init__(name)
        self.classes(classes)
        self.props.update(attributes)
        self._text = content

    @property
    def text(self) -> str:
        """The content."""
        return str(self._text)

    @text.setter
    def text(self, content: str) -> None:
        if content != self._text:
            self._text = content
            self.update()


def text(name: str, content: str, classes: str = "", /, **attributes: str) -> Text:
    """An element of HTML with a text in it."""
    return Text(name, content, classes, attributes)


def lines(shown: Iterable[FigureLine]) -> None:
    """Labels with their figures."""
    with tag("dl", "lines"):
        for line in shown:
            text("dt", line.label)
            text("dd", line.value, "value")
            text("dd", line.more, "more cut")


def incident(shown: IncidentLine, quieten: str = "") -> None:
    """An incident: its sentence, which leads to what is wrong, what was done, and a link that `quieten` names."""
    with tag("div", f"incident {shown.severity if shown.lasts else 'over'}"):
        text("a" if shown.address else "span", shown.sentence, **({"href": shown.address} if shown.address else {}))
        for route in shown.routes:
            text("div", route, "route")
        if shown.quiet:
            text("div", shown.quiet, "route")
        elif quieten and shown.lasts:
            with tag("div", "route"):
                text("a", quieten, href=address("/incidents", {"incident": shown.id}))


def selection(
    label: str, choices: Mapping[str, str], chosen: str, on_change: Any = None, /, **attributes: str
) -> ui.element:
    """A native select with its label."""
    text("span", label, "soft small")
    with tag("select", **{"aria-label": label, **attributes}) as select:
        for value, name in choices.items():
            text("option", name, value=value, **({"selected": "selected"} if value == chosen else {}))
    if on_change is not None:
        select.on("change", lambda event: on_change(event.args), js_handler="(event) => emit(event.target.value)")
    return select


def submitted(on_submit: Any) -> ui.element:
    """A form whose fields `on_submit` gets by their names."""
    form = tag("form", "tools")
    read = "(event) => { event.preventDefault(); emit(Object.fromEntries(new FormData(event.target))); }"
    form.on("submit", lambda event: on_submit(event.args), js_handler=read)
    return form


def field(name: str, label: str, /, **attributes: str) -> None:
    """A field of a form with its label; `defaultValue` fills it, as Vue puts a `value` back at each redrawing."""
    with tag("span", "pair"):
        text("span", label, "soft small")
        tag("input", "field", name=name, **{"aria-label": label, "autocomplete": "off", **attributes})


def table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, figures_from: int, relayed: Sequence[bool] = ()
) -> None:
    """A table; the columns from that one on are figures; in rows that are relayed the second cell stands out."""
    with tag("div", "wide"), tag("table", "listing"):
        with tag("thead"), tag("tr"):
            for number, heading in enumerate(headings):
                text("th" if heading else "td", heading, "figure" if number >= figures_from else "")
        with tag("tbody"):
            for cells, stands_out in zip(rows, chain(relayed, repeat(None)), strict=False):
                with tag("tr"):
                    for number, cell in enumerate(cells):
                        plain = "relayed" if stands_out and number == 1 else ""
                        text("td", cell, "figure" if number >= figures_from else plain)


async def is_dark(visit: Visit) -> bool:
    """Whether the page is dark now: charts are drawn in its colours. Waits for the browser."""
    if visit.dark is not None:
        return visit.dark
    return bool(await ui.run_javascript("matchMedia('(prefers-color-scheme: dark)').matches", timeout=10))
