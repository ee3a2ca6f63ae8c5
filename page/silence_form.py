"""A form that acknowledges incidents and silences, and the silences that last; each change needs the API's token.

The page asks over the collector's own socket, which lets its user's programs change things. So a change is asked for
on behalf of the viewer's address: then the token alone admits it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nicegui import ui

from linkweather.client import requests
from linkweather.client.requests import Answered, Request
from linkweather.errors import LinkweatherError
from linkweather.models.incidents import SilenceAnswer
from page.incident_lines import KIND_NAMES, incidents, moment
from page.mesh_follower import MeshFollower
from page.page_frame import Visit, field, selection, submitted, tag, text
from page.words import Words, message

UNTIL = "2h"
_READ_FIELD = "() => emit(document.querySelector('input[name=token]').value)"
_LABELS: Mapping[str, str] = {
    "site": message("site"),
    "dst": message("link to"),
    "kind": message("kind"),
    "reason": message("reason"),
    "until": message("until, or for how long"),
    "token": message("token"),
}


def silence_request(form: Mapping[str, str]) -> Request[SilenceAnswer]:
    """What the form asks for: to acknowledge the incident that it names, else to silence what its other fields say."""
    given = {name: value.strip() for name, value in form.items() if value.strip()}
    why = {"reason": given.get("reason", ""), "until": given.get("until", "")}
    if incident := given.get("incident"):
        return requests.acknowledge(incident, **why)
    site, dst, kind = given.get("site"), given.get("dst"), given.get("kind")
    if dst is None:
        return requests.silence(**why, site=site, kind=kind)
    return requests.silence(**why, src=site, dst=dst, kind=kind)


def covered(silence: SilenceAnswer, words: Words) -> str:
    """What a silence covers."""
    if silence.incident is not None:
        return words("incident {id}", id=silence.incident)
    links = f"{silence.src} – {silence.dst}" if silence.src else ""
    kind = words(KIND_NAMES[silence.kind]) if silence.kind else ""
    return " ".join(filter(None, (silence.site, links, kind)))


class SilenceForm:
    """One viewer's form, and the silences that last."""

    def __init__(self, follower: MeshFollower, visit: Visit) -> None:
        self._follower, self._visit, self._words = follower, visit, visit.words
        self._silences: Sequence[SilenceAnswer] = ()
        self._said = ""

    def build(self) -> None:
        """Build it."""
        t, given = self._words, self._visit.parameters
        text("h2", t("Acknowledge or silence"))
        text("p", t("People are told no more of an incident that is acknowledged, but of its end."), "soft small")
        with submitted(self._submit):
            lasting = [one for one in incidents(self._follower.view) if one.until is None]
            choices = {"": t("none: silence what follows"), **{one.id: f"{one.cause} ({one.id})" for one in lasting}}
            selection(t("incident"), choices, given.get("incident", ""), name="incident")
            field("site", t(_LABELS["site"]), defaultValue=given.get("site", ""), size="8")
            field("dst", t(_LABELS["dst"]), defaultValue=given.get("dst", ""), size="8")
            kinds: dict[str, str] = {"": t("all"), **{kind: t(name) for kind, name in KIND_NAMES.items()}}
            selection(t(_LABELS["kind"]), kinds, given.get("kind", ""), name="kind")
            field("reason", t(_LABELS["reason"]), required="required", maxlength="200", size="24")
            field("until", t(_LABELS["until"]), required="required", defaultValue=UNTIL, size="8")
            field("token", t(_LABELS["token"]), type="password", autocomplete="current-password", size="12")
            text("button", t("send"), "action", type="submit")
        self._reply = ui.refreshable(self._build_reply)
        with tag("div", **{"aria-live": "polite"}):
            self._reply()

    async def ask(self) -> None:
        """Show the silences that last now."""
        try:
            found = await self._follower.client.silences()
        except LinkweatherError as error:
            self._said = str(error)
        else:
            if found == self._silences:
                return
            self._silences = found
        self._reply.refresh()

    async def _submit(self, form: Mapping[str, str]) -> None:
        await self._change(silence_request(form), form.get("token", ""), self._added)

    def _added(self, found: SilenceAnswer) -> str:
        until = moment(found.until)
        return self._words("{id} until {until}: {reason}", id=found.id, until=until, reason=found.reason)

    async def _end(self, ended: str, token: str) -> None:
        await self._change(requests.end_silence(ended), token, lambda _: self._words("{id} is ended", id=ended))

    async def _change(self, request: Request[Answered], token: str, said: Callable[[Answered], str]) -> None:
        try:
            async with self._follower.client.on_behalf_of(self._visit.viewer, token) as client:
                self._said = said(await client.ask(request))
        except LinkweatherError as refusal:
            self._said = str(refusal)
        self._follower.ask_again()
        self._reply.refresh()
        await self.ask()

    def _build_reply(self) -> None:
        t = self._words
        if self._said:
            text("p", self._said, "answer")
        if not self._silences:
            return
        text("h2", t("What people are not told of"))
        with tag("div", "wide"), tag("table", "listing"), tag("tbody"):
            for one in self._silences:
                with tag("tr"):
                    text("td", covered(one, t))
                    text("td", moment(one.until))
                    text("td", one.reason, "cut")
                    with tag("td"):
                        end = text("button", t("end"), "action", type="button")
                        end.on("click", lambda event, one=one: self._end(one.id, event.args), js_handler=_READ_FIELD)
