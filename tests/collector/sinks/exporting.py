"""What the tests of sinks share: a filled journal, exporters into servers that are real, and a scripted one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, Self

from collector.sinks.builtin import InfluxSettings
from collector.sinks.exporter import Exporter
from collector.store.journal import Journal
from linkweather.broker import Broker
from linkweather.sink import SinkContext, SinkSettings
from tests.collector.report_samples import entry, latency
from tests.waiting import running_task

CONTEXT = SinkContext("influx", Broker("mqtt", "127.0.0.1", 1883))


def fill(journal: Journal, seqs: Sequence[int]) -> None:
    journal.commit([entry(latency(seq, peers=("b", "c"))) for seq in seqs])


def v1(port: int, **fields: Any) -> InfluxSettings:
    return InfluxSettings(url=f"http://127.0.0.1:{port}", database="linkweather", **fields)


def v2(port: int, **fields: Any) -> InfluxSettings:
    return InfluxSettings(**{"url": f"http://127.0.0.1:{port}", "bucket": "linkweather", **fields})


def opened(journal: Journal, settings: SinkSettings, name: str = "influx") -> Exporter:
    return Exporter(journal.database, name, settings, settings.open(CONTEXT))


def said(exporter: Exporter) -> str:
    return exporter.trouble.sentence if exporter.trouble else ""


@contextlib.asynccontextmanager
async def running(exporter: Exporter) -> AsyncIterator[None]:
    async with running_task(exporter.run()):
        yield
    exporter.close()


class ScriptedServer:
    """A server that answers as it is told: faults that no real one makes on demand."""

    def __init__(self, answer: Callable[[str], tuple[int, dict[str, str], bytes]]) -> None:
        self.bodies: list[str] = []
        self.requests: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.requests.append((self.path, self.headers["Authorization"]))
                outer.bodies.append(body)
                status, headers, text = answer(body)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(text)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, name="scripted", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
