"""The lab process: holds the namespaces, runs the engine, answers the control socket.

It reads one `LabStart` line from its standard input, prints one `LabReply` line when the network is up, and ends,
leaving nothing behind, when its input closes: because its parent closes it, or dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from linkweather.errors import OperatorError
from linkweather.lab.control_socket import ControlServer
from linkweather.lab.lab_engine import LabEngine, LoopbackEngine
from linkweather.lab.namespaces import UnavailableError
from linkweather.lab.netem import NetemEngine
from linkweather.lab.protocol import ChangeLink, LabEngineName, LabReply, LabStart, LabState, parse_request
from linkweather.lab.relay import RelayEngine

_STDIN = 0
# The best first.
ENGINES: Mapping[LabEngineName, Callable[[LabStart, contextlib.ExitStack], LabEngine]] = {
    "netem": lambda start, stack: NetemEngine(start.lab, stack),
    "relay": lambda start, stack: RelayEngine(start.lab, start.seed, stack),
    "loopback": lambda start, _stack: LoopbackEngine(start.lab),
}


class RunningLab:
    """An engine and its replies to control requests."""

    def __init__(self, engine: LabEngine, note: str | None) -> None:
        self._engine = engine
        self._note = note

    def answer(self, line: bytes) -> LabReply:
        """Reply to one request line, if only with a refusal."""
        try:
            request = parse_request(line)
            if isinstance(request, ChangeLink):
                self._change(request)
        except OperatorError as error:
            return LabReply(error=str(error))
        return LabReply(state=self.state())

    def state(self) -> LabState:
        """The lab as it is now."""
        engine = self._engine
        return LabState(
            engine=engine.name,
            pid=os.getpid(),
            note=self._note,
            sites=dict(engine.sites),
            routers=dict(engine.routers),
            links=engine.links(),
            strays=engine.strays(),
        )

    def _change(self, request: ChangeLink) -> None:
        for site in (request.src, request.dst):
            if site not in self._engine.sites:
                raise OperatorError(f"{site!r}: no such site; the lab has {', '.join(self._engine.sites)}")
        links = {(link.src, link.dst) for link in self._engine.links()}
        for src, dst in request.pairs():
            if links and (src, dst) not in links:
                raise OperatorError(f"the lab has no link {src} → {dst}")
        for pair in request.pairs():
            self._engine.change(pair, request)


def choose(start: LabStart, stack: contextlib.ExitStack) -> tuple[LabEngine, str | None]:
    """Set up the wanted engine, or the best that works, and a sentence on why no better one.

    Raises OperatorError when the wanted engine does not work here.
    """
    failed: dict[str, list[str]] = {}
    for name in ENGINES if start.engine is None else (start.engine,):
        with contextlib.ExitStack() as attempt:
            try:
                engine = ENGINES[name](start, attempt)
            except UnavailableError as error:
                failed.setdefault(str(error), []).append(name)
                continue
            stack.push(attempt.pop_all())
            return engine, _why(failed) or None
    raise OperatorError(_why(failed))


def _why(failed: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{' and '.join(names)} cannot be used: {reason}" for reason, names in failed.items())


def _read_start() -> LabStart:
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.read(_STDIN, 65536)
        if not chunk:
            raise SystemExit(0)  # the parent has gone before it sent anything
        line += chunk
    return LabStart.model_validate_json(line)


def _run(start: LabStart, stack: contextlib.ExitStack) -> None:
    wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker)
    # Only wakes the loop, which then ends; Ctrl-C is the parent's to handle.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    engine, note = choose(start, stack)
    running = RunningLab(engine, note)
    server = ControlServer(Path(start.data_dir), running.answer)
    stack.callback(server.close)
    _say(LabReply(state=running.state()))
    while True:
        for file in engine.wait([_STDIN, wake, *server.files()]):
            if file in {_STDIN, wake}:
                return
            server.serve(file)


def _say(reply: LabReply) -> None:
    sys.stdout.write(reply.model_dump_json(exclude_none=True) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run one lab; exit status 2 after a refusal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    start = _read_start()
    with contextlib.ExitStack() as stack:
        try:
            _run(start, stack)
        except OperatorError as error:
            _say(LabReply(error=str(error)))
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
