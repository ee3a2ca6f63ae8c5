"""An InfluxDB that refuses points: a server before the real one answers as it does where a field has another type."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import httpx

from tests.chaos.mesh_of_processes import LINKWEATHER
from tests.chaos.stage import Stage

_WAY: Final = "collector → influx"
REFUSED_ROWS: Final = 3300


class _RefusingServer(ThreadingHTTPServer):
    """Takes no line that `refused` is found in; the others go to the InfluxDB at port `influx`."""

    def __init__(self, refused: str, influx: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refused = re.compile(refused)
        self.influx = f"http://127.0.0.1:{influx}"


class _Handler(BaseHTTPRequestHandler):
    server: _RefusingServer

    def do_POST(self) -> None:
        lines = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode().splitlines()
        taken = [line for line in lines if not self.server.refused.search(line)]
        if taken or not lines:  # without lines it makes a database
            found = httpx.post(f"{self.server.influx}{self.path}", content="\n".join(taken).encode(), timeout=30)
            status, said = found.status_code, found.content
        if not taken and lines:
            status, said = 400, _error("unable to parse points")
        elif status < 300 and len(taken) < len(lines):
            dropped = len(lines) - len(taken)
            status, said = 400, _error(f"partial write: field type conflict: it is a float dropped={dropped}")
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def _error(text: str) -> bytes:
    return json.dumps({"error": text}).encode()


@contextlib.contextmanager
def _refusing(stage: Stage, refused: str) -> Iterator[None]:
    """The archive refuses such lines during the block."""
    with _RefusingServer(refused, stage.found.ports["influx"]) as server:
        thread = threading.Thread(target=server.serve_forever, name="refusing archive")
        thread.start()
        stage.injector.ways.lead(_WAY, server.server_port)
        try:
            yield
        finally:
            stage.injector.ways.lead(_WAY, stage.found.ports["influx"])
            server.shutdown()
            thread.join()


def refuse_all_for_a_while(stage: Stage) -> None:
    """Answer 400 to every write until 3,300 rows wait: an outage, which sets nothing aside."""
    with _refusing(stage, ""):
        stage.said("collector", "every row is refused")
        stage.wait(lambda: stage.found.lag_rows() >= REFUSED_ROWS, f"{REFUSED_ROWS} rows wait")
        (sink,) = stage.found.ledger().sinks
        assert (sink.set_aside_rows, sink.dropped_rows) == (0, 0), sink
        assert "refused" in httpx.get(f"{stage.found.api}/readyz", timeout=5).text
    stage.more()


def refuse_some_rows(stage: Stage) -> None:
    """Refuse the rows of failures until 3,300 of them are set aside, beside others that are taken; send them again."""
    with _refusing(stage, "failure="):
        stage.wait(lambda: _set_aside_rows(stage) >= REFUSED_ROWS, f"{REFUSED_ROWS} rows are set aside")
    subprocess.run([*LINKWEATHER, "archive", "retry", "influx", "--api", stage.found.api], check=True)
    stage.wait(lambda: _set_aside_rows(stage) == 0, "what was set aside is sent again")


def _set_aside_rows(stage: Stage) -> int:
    return sum(sink.set_aside_rows for sink in stage.found.ledger().sinks)
