"""Decides all active routes in one go, for tests that look at the routes and not at the steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from collector.linkstate.snapshot import Snapshot
from collector.routing.router import RouteChanges, Router


def decide_all(router: Router, snapshot: Snapshot, **more: Any) -> RouteChanges:
    """The pairs whose routes the snapshot changes; `more` as `Router.steps` takes it."""
    found: dict[Any, list[Any]] = {}
    for step in router.steps(snapshot, **more):
        for objective, pairs in step.pairs.items():
            found.setdefault(objective, []).append(pairs)
    return RouteChanges(snapshot.sites, {name: tuple(np.hstack(pairs)) for name, pairs in found.items()})
