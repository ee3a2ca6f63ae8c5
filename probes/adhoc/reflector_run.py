"""`linkweather reflector` behind its options: the answering side alone, until Ctrl-C.

A room of its own, because the reflector is imported when it runs, so that the command's help is quick.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from linkweather.cli.output import echo
from linkweather.keys.mesh_key import read_keys
from probes.latency.reflector import Reflector
from probes.latency.reflector_drops import log_drops, reasons


def answer(
    port: int, *, bind: Sequence[str], key_file: Path | None, allow: Sequence[str] | None, stateless: bool
) -> None:
    """Answer probes until SIGINT or SIGTERM. Raises OperatorError: a port or key that cannot be had."""
    keys = read_keys(key_file) if key_file else ()
    reflector = Reflector(port, bind=bind, key=keys[0] if keys else None, allow=allow, stateless=stateless)
    reflector.set_keys(keys)
    asyncio.run(_answer(reflector, begun(reflector.port, bind, authenticated=bool(keys), stateless=stateless)))


async def _answer(reflector: Reflector, beginning: str) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        answering = group.create_task(reflector.run(), name="reflector")
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, answering.cancel)
        echo(beginning)
        logging_drops = group.create_task(log_drops(reflector.dropped), name="dropped datagrams")
        await asyncio.wait([answering])
        logging_drops.cancel()
    echo(over(reflector.answered, reflector.dropped, reflector.flagged))
    if lately := reflector.dropped.sentence():
        echo(f"Dropped since the last line about it: {lately}")


def begun(port: int, bind: Sequence[str], *, authenticated: bool, stateless: bool) -> str:
    """The line at the start: where the reflector listens, and how."""
    where = ", ".join(bind) or "every address of this machine"
    modes = ("authenticated" if authenticated else "unauthenticated", "stateless" if stateless else "stateful")
    return f"Reflector at UDP port {port} of {where} ({', '.join(modes)}); Ctrl-C ends it"


def over(answered: int, dropped: Mapping[str, int], flagged: Mapping[str, int]) -> str:
    """The line at the end: what the reflector did."""
    flags = f" ({reasons(flagged)})" if flagged else ""
    why = f": {reasons(dropped)}" if dropped else ""
    return f"Answered {answered} probes{flags}, dropped {sum(dropped.values())}{why}"
