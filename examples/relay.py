"""Copies a file along the path that is decided now: through a relay where that is better, and elsewhere when it fails.

    python relay.py serve --folder inbox                                  # at every site
    python relay.py send big.tar --site yd --to nx --mesh mesh.toml       # where the file is

The source follows its own routes on the broker (`site/SITE/routes`). A relay ends one TCP connection and begins the
next, and passes on what it has while it receives more: each leg has its own congestion control, and the copy is about
as fast as the slower leg. The destination says how much of the file it has, so that a copy that moves to another path,
or whose leg dies, goes on from there; at the end both sides compare a digest. Nobody is asked who he is: this is for a
network of one's own.
Exit status of `send`: 0 the destination has the file, 1 it has not within the time, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from linkweather.broker import parse_broker
from linkweather.models.routes import SiteRoutes
from linkweather.mqtt import Connection
from linkweather.wire import decode, topics

PORT = 8640
BLOCK_BYTES = 1 << 18
RETRY_S = 1.0
SILENCE_S = 5.0  # of a peer that should take or send


async def main() -> int:
    """Serve, or send one file."""
    options = arguments()
    if options.role == "serve":
        inbox = Inbox(options.folder)
        async with await asyncio.start_server(inbox.serve, options.host, options.port, limit=BLOCK_BYTES) as server:
            print(f"receiving at port {options.port}", flush=True)
            await server.serve_forever()
    started = time.monotonic()
    async with asyncio.timeout(options.within):
        await Copy(options).run()
    took_s, size = time.monotonic() - started, options.file.stat().st_size
    print(f"{options.to} has {options.file.name}: {size} octets in {took_s:.1f} s, {8e-6 * size / took_s:.0f} Mbit/s")
    return 0


class Inbox:
    """What a site receives, and passes on for others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._receiving: dict[str, asyncio.StreamWriter] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: its first line says what comes, and which hops are left."""
        with contextlib.suppress(OSError, ValueError, KeyError, TimeoutError, asyncio.IncompleteReadError):
            head = json.loads(await reader.readline())
            if head["hops"]:
                await self._pass_on(head, reader, writer)
            else:
                await self._receive(head, reader, writer)
        writer.close()

    async def _pass_on(self, head: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (host, port), *head["hops"] = head["hops"]
        onward_reader, onward = await asyncio.open_connection(host, port, limit=BLOCK_BYTES)
        try:
            onward.write(line(head))
            ends = [asyncio.create_task(pipe(reader, onward)), asyncio.create_task(pipe(onward_reader, writer))]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        finally:
            onward.close()

    async def _receive(self, head: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = Path(head["name"]).name
        if before := self._receiving.get(name):
            before.close()  # the source has moved to another path
        async with self._locks.setdefault(name, asyncio.Lock()):
            self._receiving[name] = writer
            whole, part = self._folder / name, self._folder / f"{name}.part"
            if whole.exists() and whole.stat().st_size == head["size"]:
                whole.rename(part)  # our last word did not arrive: the digest says whether it is the same file
            part.touch()
            have = part.stat().st_size
            writer.write(line({"have": have}))
            with part.open("ab") as file:
                while have < head["size"] and (data := await reader.read(BLOCK_BYTES)):
                    file.write(data)
                    have += len(data)
            if have == head["size"]:
                digest = await asyncio.to_thread(sha256, part)
                part.rename(whole)
                writer.write(line({"sha256": digest}))
                await writer.drain()


class Copy:
    """One file on its way: `run` returns when the destination has it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._file: Path = options.file
        self._site, self._to = options.site, options.to
        self._hosts = hosts(options.mesh, options.port)
        self._objective = options.objective
        self._broker = parse_broker(options.broker)
        self._path: Sequence[str] = ()
        self._moved = asyncio.Event()

    async def run(self) -> None:
        """Send along the active route, and again along the next one, until it is done."""
        topic = topics.routes(self._site)
        name = f"relay-{self._site}-{time.time_ns()}"
        follower = Connection(self._broker, name, subscriptions=[topic], handle=self._follow)
        following = asyncio.create_task(follower.run())
        try:
            while not await self._try():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_S):
                        await self._moved.wait()
        finally:
            following.cancel()
            await asyncio.wait([following])

    def _follow(self, _topic: str, payload: bytes) -> None:
        routes = decode(SiteRoutes, payload)
        hop = getattr(routes, self._objective).next_hop[routes.dst.index(self._to)]
        path = () if hop is None else (hop,) if hop == self._to else (hop, self._to)
        if path != self._path:
            self._path = path
            self._moved.set()

    async def _try(self) -> bool:
        """One attempt along the path as it is now; it ends when the path changes."""
        if not self._path:
            return False
        self._moved.clear()
        print(f"{' → '.join([self._site, *self._path])}", flush=True)
        sending, moved = asyncio.create_task(self._send(self._path)), asyncio.create_task(self._moved.wait())
        await asyncio.wait([sending, moved], return_when=asyncio.FIRST_COMPLETED)
        for task in (sending, moved):
            task.cancel()
        await asyncio.wait([sending, moved])
        if sending.cancelled():
            return False
        if isinstance(error := sending.exception(), OSError | TimeoutError | ValueError | asyncio.IncompleteReadError):
            print(f"{type(error).__name__}: {error}; trying again", file=sys.stderr, flush=True)
            return False
        return sending.result()

    async def _send(self, path: Sequence[str]) -> bool:
        first, *others = (self._hosts[site] for site in path)
        async with asyncio.timeout(SILENCE_S):
            reader, writer = await asyncio.open_connection(*first)
        try:
            size = self._file.stat().st_size
            writer.write(line({"name": self._file.name, "size": size, "hops": others}))
            have = (await answer(reader))["have"]
            with self._file.open("rb") as file:
                file.seek(have)
                while data := file.read(BLOCK_BYTES):
                    writer.write(data)
                    async with asyncio.timeout(SILENCE_S):
                        await writer.drain()
            theirs, ours = (await answer(reader))["sha256"], await asyncio.to_thread(sha256, self._file)
        finally:
            writer.transport.abort()
        if theirs != ours:
            raise SystemExit(f"{self._to} has another file: {theirs} instead of {ours}")
        return True


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on octets until one end closes."""
    while data := await reader.read(BLOCK_BYTES):
        writer.write(data)
        await writer.drain()


async def answer(reader: asyncio.StreamReader) -> Any:
    """The peer's next line. The last octets of a long path may take a while."""
    async with asyncio.timeout(6 * SILENCE_S):
        return json.loads(await reader.readline())


def line(head: Mapping[str, Any]) -> bytes:
    """A line of JSON."""
    return json.dumps(head).encode() + b"\n"


def sha256(file: Path) -> str:
    """The file's digest."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def hosts(mesh: Path, port: int) -> dict[str, tuple[str, int]]:
    """Where each site's `relay.py serve` listens."""
    sites = tomllib.loads(mesh.read_text())["sites"]
    return {name: (site["address"], port) for name, site in sites.items()}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Copy a file along the path that is decided now.")
    roles = parser.add_subparsers(dest="role", required=True)
    serve = roles.add_parser("serve", help="receive files, and pass on what is for others")
    serve.add_argument("--folder", type=Path, default=Path(), help="where received files go")
    serve.add_argument("--host", help="the address to listen at; all by default")
    send = roles.add_parser("send", help="send one file")
    send.add_argument("file", type=Path)
    send.add_argument("--site", required=True, help="this site")
    send.add_argument("--to", required=True, help="the destination")
    send.add_argument("--mesh", type=Path, required=True, help="the mesh file, for the sites' addresses")
    send.add_argument("--broker", default="mqtt://127.0.0.1:1883")
    send.add_argument("--objective", choices=["goodput", "latency"], default="goodput")
    send.add_argument("--within", type=float, metavar="SECONDS", help="give up after so long")
    for role in (serve, send):
        role.add_argument("--port", type=int, default=PORT)
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except (TimeoutError, KeyboardInterrupt):
        sys.exit(1)
