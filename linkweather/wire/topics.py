"""Every MQTT topic, built and parsed in this one place."""

from __future__ import annotations

import re
from dataclasses import dataclass

from linkweather.errors import MessageError
from linkweather.mesh import SITE_ID

PREFIX = "linkweather/v1"
MESH = f"{PREFIX}/mesh"
ALL_REPORTS = f"{PREFIX}/site/+/report/+"
ALL_STATUSES = f"{PREFIX}/site/+/status"
ALL_MESHES = f"{PREFIX}/site/+/mesh"
ALL_STATES = f"{PREFIX}/site/+/state"
ALL_CLAIMS = f"{PREFIX}/site/+/claim"
ALL_RESTARTS = f"{PREFIX}/site/+/restart"
_SITE = re.compile(f"^{PREFIX}/site/[^/]+")

# name → whether the topic has a last level: a kind (`report`), a number (`part`) or the writing site.
_HAS_DETAIL: dict[str, bool] = {
    "status": False,
    "presence": False,
    "restart": False,
    "report": True,
    "committed": False,
    "invite": True,
    "answer": True,
    "claim": False,
    "routes": False,
    "weights": False,
    "mesh": False,
    "part": True,
    "state": False,
}


# name → the longest message in bytes that is decoded, many times what one of ours takes; others are bounded elsewhere.
_MOST_BYTES: dict[str, int] = {
    **dict.fromkeys(("presence", "restart", "invite", "answer", "claim", "mesh"), 16_384),
    "status": 1_000_000,
}


@dataclass(frozen=True, slots=True)
class Topic:
    """A parsed topic of one site; `detail` is a report's kind, a part's number, or the site that invites or answers."""

    name: str
    site: str
    detail: str = ""


def status(site: str) -> str:
    """Retained, with a will: online or offline, version, outbox depth. Written by that site."""
    return f"{PREFIX}/site/{site}/status"


def presence(site: str) -> str:
    """Retained: which probe runs as the site. Written by that site, and read by who takes its name."""
    return f"{PREFIX}/site/{site}/presence"


def restart(site: str) -> str:
    """That the site's probe leaves, or has started, and with which key. Written by that site, and read by all."""
    return f"{PREFIX}/site/{site}/restart"


def report(site: str, kind: str) -> str:
    """A site's reports of one kind. Written by that site."""
    return f"{PREFIX}/site/{site}/report/{kind}"


def committed(site: str) -> str:
    """Which of the site's reports are in the journal. Written by the collector."""
    return f"{PREFIX}/site/{site}/committed"


def invite(site: str, by: str) -> str:
    """Asks `site` to serve a throughput test. Written by the site `by`."""
    return f"{PREFIX}/site/{site}/invite/{by}"


def answer(site: str, by: str) -> str:
    """Accepts or declines an invitation that `site` sent. Written by the site `by`."""
    return f"{PREFIX}/site/{site}/answer/{by}"


def claim(site: str) -> str:
    """Claims groups that share a bottleneck for a throughput test, or gives them back. Written by that site."""
    return f"{PREFIX}/site/{site}/claim"


def routes(site: str) -> str:
    """Retained: the site's active routes. Written by the collector."""
    return f"{PREFIX}/site/{site}/routes"


def weights(site: str) -> str:
    """Retained: how often the links to the site are worth a throughput test. Written by the collector."""
    return f"{PREFIX}/site/{site}/weights"


def family(topic: str) -> str:
    """The topic with any site in the place of its site: what a broker's access rules are about."""
    return _SITE.sub(f"{PREFIX}/site/+", topic)


def mesh(site: str) -> str:
    """Retained: the head of the site's part of the mesh. Written by the collector."""
    return f"{PREFIX}/site/{site}/mesh"


def part(site: str, number: int | str) -> str:
    """Retained: a message of the site's part of the mesh, numbered from 0. Written by the collector."""
    return f"{PREFIX}/site/{site}/part/{number}"


def state(site: str) -> str:
    """Retained: what the site's collector knows of its links, for the other collectors. Written by that collector."""
    return f"{PREFIX}/site/{site}/state"


def reports_of(site: str) -> str:
    """A filter of all reports of one site."""
    return f"{PREFIX}/site/{site}/report/+"


def read_by(site: str) -> tuple[str, ...]:
    """What a site's probe subscribes to."""
    of_site = (mesh(site), part(site, "+"), committed(site), invite(site, "+"), answer(site, "+"), presence(site))
    return (MESH, *of_site, ALL_CLAIMS, ALL_RESTARTS, weights(site))


def check_size(name: str, payload: bytes) -> None:
    """Refuse what is longer than any message of this name, before it is decoded. Raises MessageError."""
    if len(payload) > _MOST_BYTES.get(name, len(payload)):
        raise MessageError("oversized", f"{len(payload)} bytes")


def parse(topic: str) -> Topic | None:
    """Take a site's topic apart; None for any other topic, also one with an impossible site id."""
    prefix, _, rest = topic.partition("/site/")
    site, _, tail = rest.partition("/")
    name, _, detail = tail.partition("/")
    if prefix != PREFIX or not SITE_ID.fullmatch(site) or name not in _HAS_DETAIL:
        return None
    if _HAS_DETAIL[name] != bool(detail) or "/" in detail:
        return None
    return Topic(name, site, detail)
