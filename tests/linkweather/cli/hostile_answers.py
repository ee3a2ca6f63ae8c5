"""A collector whose every text is hostile: it answers each request of the client with the model that it expects."""

from __future__ import annotations

import contextlib
import threading
import types
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import AwareDatetime, BaseModel, TypeAdapter, ValidationError

from linkweather.client import requests
from linkweather.client.requests import Request
from linkweather.mesh import Mesh, Site
from linkweather.models.placements import Job

# Markup of rich, one of its emoji, colours, a title, a reversal, a C1 sequence, a return to the line's start, a bell.
HOSTILE = "[/bold][red]:bomb:\x1b[31m\x1b]0;mine\x07\u202e\x9b2J\rX"
TEXTS = (HOSTILE, "[/bold][red]:bomb:", "a")  # what no rule keeps out, what printable text may be, a site's id
MESH = Mesh(name="[/bold]", sites={"a": Site(address="192.0.2.1", operator="[/red]"), "b": Site(address="192.0.2.2")})
_AT = datetime(2026, 1, 31, tzinfo=UTC)
_PLAIN: Mapping[Any, Any] = {bool: True, int: 1, float: 0.5, datetime: _AT, AwareDatetime: _AT, Mesh: MESH}
_NAMES: Mapping[str, Mapping[str, str]] = {"SiteAnswer": {"site": "a"}}  # so that `sites a` finds it
_JOB = Job.model_construct(data=(), devices=())
_ASKED: Sequence[Request[Any]] = [
    *(requests.links(), requests.sites(), requests.mesh(), requests.route("a", "b"), requests.routes()),
    *(requests.link_history("a", "b"), requests.sla(site="a"), requests.capacity(), requests.evaluation()),
    *(requests.ledger(), requests.incidents(), requests.silences(), requests.sinks(), requests.set_aside("s")),
    *(requests.silence(reason="r", until="1h"), requests.acknowledge("i", reason="r", until="1h")),
    *(requests.retry_set_aside("s"), requests.drop_set_aside("s"), requests.place(_JOB)),
]


def hostile(form: Any, rules: tuple[Any, ...] = ()) -> Any:
    """A value of a type, with the worst text that its rules let through wherever it takes text."""
    origin, parts = get_origin(form), get_args(form)
    if origin in {Annotated, Union, types.UnionType}:
        wanted = next(part for part in parts if part is not types.NoneType)
        return hostile(wanted, parts[1:] if origin is Annotated else rules)
    if origin is Literal:
        return parts[0]
    if origin in {list, tuple}:
        return [hostile(parts[0])]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {hostile(parts[0]): hostile(parts[1])}
    if isinstance(form, type) and issubclass(form, BaseModel) and form is not Mesh:
        fields = form.model_fields.items()
        known = _NAMES.get(form.__name__, {})
        values = {name: known.get(name) or hostile(info.annotation, tuple(info.metadata)) for name, info in fields}
        return form.model_construct(None, **values)
    return _PLAIN.get(form) or next(text for text in TEXTS if _takes(rules, text))


def _takes(rules: tuple[Any, ...], text: str) -> bool:
    with contextlib.suppress(ValidationError):
        TypeAdapter(Annotated[str, "any", *rules]).validate_python(text)
        return True
    return False


def answers() -> dict[tuple[str, str], bytes]:
    """Each request's method and path with the answer to it."""
    found = {}
    for asked in _ASKED:
        form = asked.form._type  # pydantic keeps no public name for it
        value = hostile(form)
        answer = TypeAdapter(Any).dump_json(value, serialize_as_any=True)
        asked.form.validate_json(answer)
        found[asked.method, asked.path] = answer
    return found


@contextlib.contextmanager
def hostile_collector() -> Iterator[str]:
    """Where it answers, while the block runs."""
    known = answers()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = known[self.command, urlsplit(self.path).path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_PUT = do_GET  # noqa: N815 - the library's names

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
