"""A scheduler extender for Kubernetes: it filters and scores nodes by where a pod's data is.

A node belongs to the site that its label `topology.linkweather/site` names. A pod describes its job in annotations:

    linkweather/data: "gz=2TB,nm=10GB"      where its inputs are
    linkweather/result: "bj=5GB"            where its result must go
    linkweather/devices: "a100=8"           what it needs
    linkweather/work-device-hours: "64"     with several types of devices: "a100=64,h100=8"
    linkweather/deadline: "6h"              optional, as is
    linkweather/max-price-usd: "500"

POST /filter removes the nodes of sites that cannot run the job, each with linkweather's reason. POST /prioritize scores
the others by the expected time until the job is done: 10 for the shortest of the offered nodes, 5 for twice as long, 0
for 20 times as long or unknown. GET /healthz answers while this program lives.

Nodes without a site stay, and so do all nodes for a pod without annotations. If the collector does not answer or
refuses, or an annotation is invalid, every node stays with equal scores, and the log says why: no pod waits for it.

The types are those of k8s.io/kube-scheduler/extender/v1. They have no JSON tags, so the scheduler sends `Pod`, `Nodes`,
`NodeNames`; before Kubernetes 1.17 these were `pod`, `nodes`, `nodenames`. Both are read, as Go reads both.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ValidationError, model_validator

from linkweather import Client, CollectorUnavailableError, OperatorError, settings
from linkweather.client import DEFAULT_API
from linkweather.models.placements import ExcludedSite, Job, PlacementAnswer, SitePlacement

LABEL = "topology.linkweather/site"
PREFIX = "linkweather/"
ANNOTATIONS = {"data", "result", "devices", "work-device-hours", "deadline", "max-price-usd"}
BEST_SCORE = 10  # MaxExtenderPriority of extender/v1
log = logging.getLogger("extender")


class Metadata(BaseModel, extra="allow"):
    """The metadata of a pod or a node, as far as this program reads it."""

    name: str = ""
    labels: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None


class Thing(BaseModel, extra="allow"):
    """A pod or a node; all its other fields pass unchanged."""

    metadata: Metadata


class NodeList(BaseModel, extra="allow"):
    """A list of nodes; Go writes an empty one as null."""

    items: list[Thing] | None = None


class ExtenderArgs(BaseModel):
    """The request of the scheduler: `nodes`, or with nodeCacheCapable only `nodenames`."""

    pod: Thing
    nodes: NodeList | None = None
    nodenames: list[str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _lower(cls, values: Any) -> Any:
        return {name.lower(): value for name, value in values.items()} if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.nodes is None and self.nodenames is None:
            raise ValueError("neither Nodes nor NodeNames")
        return self

    def sites(self, known: Mapping[str, str]) -> dict[str, str | None]:
        """The node names with their sites: from the label, else from `known`, else None."""
        if self.nodes is None:
            return {name: known.get(name) for name in self.nodenames or ()}
        nodes = [node.metadata for node in self.nodes.items or ()]
        return {node.name: (node.labels or {}).get(LABEL, known.get(node.name)) for node in nodes}


def job_of(pod: Thing) -> Job | None:
    """The job that the pod's annotations describe; None without any. Raises OperatorError for an invalid one."""
    notes = {
        name.removeprefix(PREFIX): text
        for name, text in (pod.metadata.annotations or {}).items()
        if name.startswith(PREFIX)
    }
    if not notes:
        return None
    if unknown := notes.keys() - ANNOTATIONS:
        raise OperatorError(f"{PREFIX}{min(unknown)}: no such annotation")
    values: dict[str, Any] = {
        "data": [{"site": site, "bytes": size} for site, size in pairs(notes, "data")],
        "devices": needs(notes),
        "deadline_s": notes.get("deadline"),
        "max_price_usd": notes.get("max-price-usd"),
    }
    if result := pairs(notes, "result"):
        values["result"] = {"site": result[0][0], "bytes": result[0][1]}
    return settings.validate(values, Job, "the annotations")


def needs(notes: Mapping[str, str]) -> list[dict[str, Any]]:
    """The devices with the work on them; a single number of hours belongs to the only type."""
    devices = pairs(notes, "devices")
    text = notes.get("work-device-hours", "")
    hours = dict(pairs(notes, "work-device-hours")) if "=" in text else {name: text for name, _ in devices[:1]}
    if hours.keys() != {name for name, _ in devices}:
        raise OperatorError(f"{PREFIX}work-device-hours = {text!r}: must have the hours of each type of devices")
    try:
        return [{"type": t, "count": int(n), "work_device_hours": float(hours[t])} for t, n in devices]
    except ValueError as error:
        raise OperatorError(f"{PREFIX}devices, {PREFIX}work-device-hours: {error}") from None


def pairs(notes: Mapping[str, str], name: str) -> list[tuple[str, str]]:
    """The pairs of `NAME=VALUE,NAME=VALUE`. Raises OperatorError."""
    found = [part.strip().partition("=") for part in notes.get(name, "").split(",") if part.strip()]
    if not all(left and right for left, _, right in found):
        raise OperatorError(f"{PREFIX}{name} = {notes[name]!r}: must be NAME=VALUE,NAME=VALUE…")
    return [(left, right) for left, _, right in found]


Judged = TypeVar("Judged", SitePlacement, ExcludedSite)


def by_name(sites: Iterable[Judged]) -> dict[str, Judged]:
    """Sites by their id and by their compute_id: a label may hold either."""
    return {name: site for site in sites for name in (site.site, site.compute_id) if name}


class Extender:
    """Answers the scheduler from the collector's placements; `known` has the sites of nodes without a label."""

    def __init__(self, client: Client, known: Mapping[str, str]) -> None:
        self._client = client
        self._known = known

    def filter(self, args: ExtenderArgs) -> dict[str, Any]:
        """An ExtenderFilterResult."""
        failed: dict[str, str] = {}
        if answer := self._placement(args):
            excluded = by_name(answer.excluded)
            for name, site in args.sites(self._known).items():
                if site in excluded:
                    failed[name] = f"linkweather: {site} {excluded[site].why}"
        # In both: evicting pods there would not help, but Kubernetes before 1.20 reads FailedNodes only.
        result: dict[str, Any] = {"FailedNodes": failed, "FailedAndUnresolvableNodes": failed, "Error": ""}
        if args.nodes is not None:
            kept = [node for node in args.nodes.items or () if node.metadata.name not in failed]
            nodes = args.nodes.model_copy(update={"items": kept})
            result["Nodes"] = nodes.model_dump(mode="json", exclude_unset=True)
        if args.nodenames is not None:
            result["NodeNames"] = [name for name in args.nodenames if name not in failed]
        return result

    def prioritize(self, args: ExtenderArgs) -> list[dict[str, Any]]:
        """A HostPriorityList with every node."""
        sites = args.sites(self._known)
        answer = self._placement(args)
        ranked = by_name(answer.ranking) if answer else {}
        done_s = {name: ranked[site].total_p50_s for name, site in sites.items() if site in ranked}
        best_s = min(done_s.values(), default=0.0)
        scores = {name: round(BEST_SCORE * best_s / s) if s > best_s else BEST_SCORE for name, s in done_s.items()}
        return [{"Host": name, "Score": scores.get(name, 0)} for name in sites]

    def _placement(self, args: ExtenderArgs) -> PlacementAnswer | None:
        pod = args.pod.metadata.name
        try:
            job = job_of(args.pod)
            if job is None:
                return None
            if not any(args.sites(self._known).values()):
                log.warning("pod %s: no node with a known site; node names alone need --nodes", pod)
                return None
            return self._client.place(job)
        except (CollectorUnavailableError, OperatorError) as error:
            log.warning("pod %s is scheduled without linkweather: %s", pod, error)
            return None


class Handler(BaseHTTPRequestHandler):
    """HTTP: reads a request, writes the extender's answer."""

    protocol_version = "HTTP/1.1"  # the scheduler keeps its connections
    timeout = 120

    def __init__(self, extender: Extender, *connection: Any) -> None:
        self._verbs: Mapping[str, Callable[[ExtenderArgs], Any]] = {
            "/filter": extender.filter,
            "/prioritize": extender.prioritize,
        }
        super().__init__(*connection)

    def do_GET(self) -> None:
        """Liveness."""
        if self.path == "/healthz":
            self._send(200, {"status": "ok"})
        else:
            self._send(404, {"error": "GET /healthz, POST /filter, POST /prioritize"})

    def do_POST(self) -> None:
        """The scheduler's questions."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self.close_connection = True  # the end of the body is unknown
            self._send(411, {"error": "Content-Length is needed"})
            return
        body = self.rfile.read(int(length))
        verb = self._verbs.get(self.path)
        if verb is None:
            self._send(404, {"error": "POST /filter, POST /prioritize"})
            return
        try:
            args = ExtenderArgs.model_validate_json(body)
        except ValidationError as error:
            self._send(400, {"error": f"no ExtenderArgs: {error.errors()[0]['msg']}"})
            return
        self._send(200, verb(args))

    def _send(self, status: int, answer: Any) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *values: Any) -> None:  # noqa: A002 – http.server's name
        """Log requests at debug level only."""
        log.debug(format, *values)


def read_nodes(path: Path) -> dict[str, str]:
    """A file of NODE=SITE lines. Raises OperatorError."""
    lines = [line.strip() for line in settings.read(path).splitlines()]
    found = [line.partition("=") for line in lines if line and not line.startswith("#")]
    for node, equals, site in found:
        if not (node and site):
            raise OperatorError(f"{path}: {node}{equals}{site}: must be NODE=SITE")
    return {node.strip(): site.strip() for node, _, site in found}


def main() -> int:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="A Kubernetes scheduler extender that asks linkweather.")
    parser.add_argument("--api", default=os.environ.get("LINKWEATHER_API", DEFAULT_API), help="linkweather's API")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8686)
    parser.add_argument("--nodes", type=Path, metavar="FILE", help="NODE=SITE lines, for nodes without the label")
    parser.add_argument("--timeout", type=float, default=2.0, metavar="SECONDS", help="below the scheduler's own 5 s")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the first process of a container ignores it otherwise
    try:
        known = read_nodes(options.nodes) if options.nodes else {}
        with Client(options.api, timeout_s=options.timeout) as client:
            handler = partial(Handler, Extender(client, known))
            with ThreadingHTTPServer((options.host, options.port), handler) as server:
                log.info("serving at http://%s:%d, asking %s", options.host, options.port, options.api)
                server.serve_forever()
    except (OperatorError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
