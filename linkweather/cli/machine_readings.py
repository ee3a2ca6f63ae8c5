"""Reads and tries what a daemon needs of its machine: a folder, ports, memory, the broker. Decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import shutil
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from linkweather.broker import Broker
from linkweather.cli.machine_diagnosis import BrokerReading, FolderReading, PortReading
from linkweather.mqtt import Connection

BROKER_LIMIT_S: Final = 15.0
_POLL_S: Final = 0.02
_MOST_FOREIGN: Final = 10
_TRIED_BYTES: Final = 65_536
_KINDS: Final = {"UDP": socket.SOCK_DGRAM, "TCP": socket.SOCK_STREAM}


def read_folder(path: Path) -> FolderReading:
    """Whether files can be written in a folder; where there is none, in the one in which it would be made."""
    try:
        free_bytes = shutil.disk_usage(path).free
        with tempfile.TemporaryFile(dir=path) as trial:
            trial.write(bytes(_TRIED_BYTES))
            trial.flush()
        return FolderReading(str(path), None, free_bytes, _foreign(path))
    except FileNotFoundError:
        return read_folder(path.parent)
    except OSError as error:
        return FolderReading(str(path), error)


def _foreign(path: Path) -> tuple[str, ...]:
    owner = path.stat().st_uid
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in entries if entry.stat(follow_symlinks=False).st_uid != owner)
    return tuple(names[:_MOST_FOREIGN])


def read_port(kind: str, address: str, port: int) -> PortReading:
    """Whether a port of UDP or TCP can be had, and else who has it."""
    version6 = ":" in address
    name = f"{kind} port {f'[{address}]' if version6 else address}:{port}"
    try:
        with socket.socket(socket.AF_INET6 if version6 else socket.AF_INET, _KINDS[kind]) as trial:
            if version6:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if kind == "TCP":
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((address, port))
    except OSError as error:
        return PortReading(name, error, _holder(kind, port))
    return PortReading(name)


def _holder(kind: str, port: int) -> str:
    """The command line that holds a port; empty where the kernel does not show it to us."""
    sockets = set()
    for table in (kind.lower(), f"{kind.lower()}6"):
        with contextlib.suppress(OSError):
            rows = [line.split() for line in Path("/proc/net", table).read_text("ascii").splitlines()[1:]]
            sockets |= {f"socket:[{row[9]}]" for row in rows if int(row[1].rpartition(":")[2], 16) == port}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for opened in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(opened.readlink()) in sockets:
                        return (process / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode()
    return ""


def read_memory() -> tuple[int, int]:
    """The machine's memory, and what of it is available, in bytes."""
    lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    found = {name: int(value.split()[0]) * 1024 for name, _, value in (line.partition(":") for line in lines)}
    return found["MemTotal"], found["MemAvailable"]


async def read_broker(broker: Broker, client_id: str, subscriptions: Sequence[str]) -> BrokerReading:
    """Connect as a daemon does, under a name of our own beside it, and leave again."""
    loop, name = asyncio.get_running_loop(), str(broker)
    if broker.scheme != "unix":
        try:
            await loop.getaddrinfo(broker.host, broker.port)
        except socket.gaierror:
            return BrokerReading(name, resolved=False)
    connection = Connection(
        broker,
        f"{client_id}-doctor-{secrets.token_hex(4)}",
        subscriptions=subscriptions,
        handle=lambda _topic, _payload: None,
        rng=random.Random(),  # noqa: S311 - it spreads load, and hides nothing
    )
    running = asyncio.create_task(connection.run(), name="mqtt")
    due_s = loop.time() + BROKER_LIMIT_S
    while not connection.connected and not connection.last_error and loop.time() < due_s:  # noqa: ASYNC110 - an error sets no event
        await asyncio.sleep(_POLL_S)
    silent = "" if connection.connected else f"the broker {name} does not answer"
    running.cancel()
    await asyncio.wait([running])
    return BrokerReading(name, True, connection.last_error or silent, tuple(connection.refusals.complaints()))  # noqa: FBT003
