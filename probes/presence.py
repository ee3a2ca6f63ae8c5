"""Who is there: this site says so to its peers, says goodbye before it stops, and notices a second probe of its id.

Two probes of one site speak beside each other, or, as copies of one data folder, take the connection from each other
for ever, and a broker need not say why it closed one. But each says in one retained message, which its own site alone
reads, which run of the program it is. So what another run says while we hear it, or wrote over ours since we said it,
shows that this run is alive; the older one answers, both know then, and the one that started later steps back. It looks
again after a while: the other one may be gone.

A site that stops says so to its peers while it still answers, and once again when it has started. They do not probe it
until then, or `RESTART_LIMIT_S` is over, so that a planned restart is not a loss. Whoever has another key than the one
that starts says so, once for each start. A broker that restarts makes no site speak to all: of N sites that would be N²
messages.

A site's connection has a name at its broker that no other member of the mesh can guess: whoever connects under a
client's name ends its connection, as a broker checks users, and not these names. The name stays the same, so that a
connection after a crash ends the one before at once, and its will, `offline`, comes before what this one says.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from linkweather import atomicfile
from linkweather.wire import Presence, encode, topics
from probes.latency.reflector_guard import Recent

log = logging.getLogger(__name__)

STEP_BACK_S: Final = 300.0
RESTART_LIMIT_S: Final = 60.0
# What a message to the broker may take, and one from there to a peer, together with the probes that are under way.
GOODBYE_LIMIT_S: Final = 1.0
LINGER_S: Final = 1.0
MOST_SITES: Final = 10_000


class Neighbours(Protocol):
    """What is done with what peers say."""

    def note_key(self, site: str, key_id: str | None) -> None:
        """The site's tests have this key."""

    def hold(self, site: str, limit_s: float) -> None:
        """Do not probe the site for so long: it restarts."""

    def resume(self, site: str) -> None:
        """The site is back."""


class SitePresence:
    """Says that this site is here, and hears the others.

    `publish(topic, payload, retain)` says whether the broker has it. `step_back` is called with the seconds for which
    to leave the site's name to another probe; `say_again` when `say_here` is due again.
    """

    def __init__(
        self,
        site: str,
        instance: str,
        key_id: str | None,
        *,
        publish: Callable[..., Awaitable[bool]],
        neighbours: Neighbours,
        step_back: Callable[[float], None],
        say_again: Callable[[], None] = lambda: None,
        now: datetime | None = None,
    ) -> None:
        self._site = site
        started = (now or datetime.now(UTC)).replace(microsecond=0)
        host = socket.gethostname()[:255]
        self._own = Presence(state="here", instance=instance, started=started, host=host, key_id=key_id)
        self._publish = publish
        self._neighbours = neighbours
        self._step_back = step_back
        self._say_again = say_again
        self._said = self._said_before = False
        self._announced = self._leaving = False
        self._key_due = False  # another site should hear which key this one has
        self._instances: Recent[str, str] = Recent(MOST_SITES)
        self._named: str | None = None

    def apply_key(self, key_id: str | None) -> None:
        """The site's tests have another key from now on: the peers should hear which."""
        self._key_due = self._key_due or key_id != self._own.key_id
        self._own = self._own.model_copy(update={"key_id": key_id})

    def on_connect(self) -> None:
        """A connection is made: the broker says again what is retained."""
        self._said_before = self._said

    async def say_here(self, *, answering: bool) -> bool:
        """Say which run this is, and once to the peers, when it is `answering` them; whether the broker has it."""
        heard = await self._publish(topics.presence(self._site), encode(self._own), retain=True)
        self._said = self._said or heard
        if answering and not self._announced and not self._leaving:
            self._announced = await self._publish(topics.restart(self._site), encode(self._own))
        return heard and (self._announced or not answering)

    async def say_key(self) -> None:
        """Say to the peers which key this site has, where one has started with another."""
        if self._key_due and not self._leaving:
            self._key_due = not await self._publish(topics.restart(self._site), encode(self._own))

    async def say_goodbye(self) -> None:
        """Say that this site stops, and return when the peers know; at once without a broker.

        From now on nothing says that it is here: they would probe it again.
        """
        self._leaving = True
        leaving = encode(self._own.model_copy(update={"state": "leaving"}))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_LIMIT_S):
                heard = await self._publish(topics.restart(self._site), leaving)
            if heard:
                await asyncio.sleep(LINGER_S)

    def handle(self, site: str, said: Presence, *, retained: bool = True) -> None:
        """A probe took this site's name: ours, or another one; `retained`, when we were not there to hear it."""
        alive = self._said_before or not retained
        if site == self._site and said.instance != self._own.instance and alive and said.state == "here":
            self._meet(said)

    def handle_restart(self, site: str, said: Presence) -> None:
        """A peer leaves, or has started, or says which key it has."""
        if site == self._site:
            return
        self._neighbours.note_key(site, said.key_id)
        if said.state == "leaving":
            self._neighbours.hold(site, RESTART_LIMIT_S)
            return
        self._neighbours.resume(site)
        if said.key_id != self._own.key_id and self._instances.get(site, "") != said.instance:
            self._key_due = True
        self._instances.keep(site, said.instance)

    def _meet(self, other: Presence) -> None:
        newer = (self._own.started, self._own.instance) > (other.started, other.instance)
        if self._named != other.instance:
            self._named = other.instance
            log.error("%s", _sentence(self._site, other, newer=newer))
        if newer:
            self._said = False
            self._step_back(STEP_BACK_S)
        else:
            self._say_again()


def _sentence(site: str, other: Presence, *, newer: bool) -> str:
    then = f"this one is newer and leaves the broker to it for {STEP_BACK_S:g} s" if newer else "it is newer"
    return (
        f"another probe runs as site {site}, on {other.host} since {other.started:%Y-%m-%d %H:%M:%S} UTC: {then}; "
        "stop one of them, or give it a site id of its own"
    )


_KEPT = re.compile(r"[0-9a-f]{32}")


def client_id(site: str, folder: Path) -> str:
    """The site's name, kept in the data folder for its user alone; where that cannot be, of this run."""
    path = folder / "client-id"
    kept = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        kept = path.read_text(encoding="ascii").strip()
    if not _KEPT.fullmatch(kept):
        kept = secrets.token_hex(16)
        with contextlib.suppress(OSError):
            atomicfile.replace(path, f"{kept}\n", mode=0o600)
    return f"linkweather-{site}-{kept}"
