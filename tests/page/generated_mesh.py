"""A large mesh as an API of generated answers, for pictures and for the bench of sizes: no site, no collector."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from tests.page.played_hubs import base_rtt_s, many_hubs

# Those of the incidents.
WRONG = {("s000", "s006"): "down", ("s004", "s001"): "degraded"}
STATES = ("fresh",) * 96 + ("degraded", "stale", "down", "unknown")


def links_of(sites: int, peers: int) -> list[dict[str, Any]]:
    """The links of each site to its next peers, around the circle, as the API answers."""
    names, dice = [hub[0] for hub in many_hubs(sites)], random.Random(1)
    return [
        {
            "src": src,
            "dst": (dst := names[(place + ahead) % sites]),
            "state": WRONG.get((src, dst)) or dice.choice(STATES),
            "rtt_p50_s": base_rtt_s(src, dst),
            "rtt_age_s": 2.0,
            "age_s": 2.0,
            "loss_ratio": dice.choice((0.0, 0.0, 0.0, 0.01)),
            "jitter_s": 0.0004,
            "goodput_bps": dice.uniform(5e7, 9e9),
        }
        for place, src in enumerate(names)
        for ahead in range(1, min(peers, sites - 1) + 1)
    ]


def sites_of(sites: int) -> list[dict[str, Any]]:
    """The sites as the API answers."""
    return [
        {"site": name, "state": "online", "address": "192.0.2.1", "region": region, "operator": operator,
         "latitude": latitude, "longitude": longitude}
        for name, region, operator, latitude, longitude in many_hubs(sites)
    ]  # fmt: skip


def incidents_of(sites: int, now: datetime) -> dict[str, Any]:
    """Two that last: a link that is down, and one that loses packets."""
    names, since = [hub[0] for hub in many_hubs(sites)], (now - timedelta(minutes=4)).replace(microsecond=0)
    said = {"link_down": "is down", "loss": "loses 12.0 % (normally 0.0 %)"}
    found = [
        {"id": kind, "kind": kind, "severity": severity, "cause": f"{src} – {dst}", "subjects": [src, dst],
         "since": since.isoformat(), "sentence": f"{src} → {dst} {said[kind]} (since {since:%Y-%m-%d %H:%M:%S} UTC)",
         "findings": [{"kind": kind, "src": src, "dst": dst, "since": since.isoformat(), "value": value}],
         "routes": [f"traffic {src} → {dst} goes through {names[-1]}"]}
        for kind, severity, src, dst, value in (
            ("link_down", "critical", names[0], names[6], None), ("loss", "warning", names[4], names[1], 0.12)
        )
    ]  # fmt: skip
    return {"at": now.isoformat(), "sentence": "2 things are wrong", "incidents": found}


def routes_of(sites: int, now: datetime) -> dict[str, Any]:
    """The routes of the first site: to each seventh through the last one."""
    first, *others, last = [hub[0] for hub in many_hubs(sites)]
    found = []
    for place, dst in enumerate(others):
        direct = {"sites": [first, dst], "rtt_p50_s": base_rtt_s(first, dst)}
        relayed = {"sites": [first, last, dst], "rtt_p50_s": 0.7 * base_rtt_s(first, dst)}
        one = {"src": first, "dst": dst, "path": direct, "direct": direct, "since": now.isoformat()}
        found.append(one if place % 7 else {**one, "path": relayed, "gain_ratio": 1.43, "switch_reason": "better"})
    return {"at": now.isoformat(), "objective": "latency", "routes": found, "no_routes": []}


def history_of(now: datetime) -> dict[str, Any]:
    """An hour by minutes, whose last four are an outage."""
    until, dice = now.replace(second=0, microsecond=0), random.Random(2)
    steps: list[dict[str, Any]] = []
    for minute in range(60):
        at = (until - timedelta(minutes=60 - minute)).isoformat()
        rtt_s = 0.020 + 0.004 * (30 <= minute < 42) + dice.uniform(0, 0.0004)
        shape = {"min": 0.97, "p05": 0.98, "p25": 0.99, "p50": 1.0, "p75": 1.015, "p95": 1.05, "max": 1.12}
        up = {"available_ratio": 1.0, "loss_ratio": 0.0, **{f"rtt_{name}_s": rtt_s * by for name, by in shape.items()}}
        down = {"available_ratio": 0.0, "loss_ratio": 1.0}
        steps.append({"at": at, "reports": 12, **(up if minute < 56 else down)})
    since = (until - timedelta(hours=1)).isoformat()
    return {"src": "s000", "dst": "s006", "since": since, "until": until.isoformat(), "step_s": 60,
            "resolution": "rows", "steps": steps}  # fmt: skip


def answers(sites: int, peers: int) -> FastAPI:
    """An API that always gives the same answers."""
    now = datetime.now(UTC)
    named = {name: {"address": f"192.0.2.{number}"} for number, name in enumerate(("a", "b"), 1)}
    found: dict[str, Any] = {
        "links": links_of(sites, peers),
        "sites": sites_of(sites),
        "incidents": incidents_of(sites, now),
        "silences": [],
        "history": history_of(now),
        "mesh": {"mesh": {"name": f"sites-{sites}", "sites": named}, "links": 2},
        "routes": routes_of(sites, now),
    }
    rendered = {name: JSONResponse(value).body for name, value in found.items()}
    app = FastAPI()

    @app.get("/api/v1/{name}")
    async def answer(name: str) -> Response:
        if name not in rendered:
            return JSONResponse({"error": f"no {name} here"}, status_code=404)
        return Response(bytes(rendered[name]), media_type="application/json")

    return app
