"""TCP proxies on loopback that cut, delay, stall and half-open the connections which go through them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Literal, Self

# cut: connections end and new ones are refused · delay: every piece arrives late · stall: nothing is read, and
# then all of it · half-open: bytes vanish, and the connections are reset when the way opens again · mute: only
# those of the end that connected vanish.
WayState = Literal["open", "cut", "delay", "stall", "half-open", "mute"]
DELAY_S = 0.5
_PIECE_BYTES = 65536


class TcpProxy:
    """One way to a port of loopback. All of it runs on one event loop."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._state: WayState = "open"
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._serving: set[asyncio.Task[None] | None] = set()  # held: of a half-open way nothing else holds the tasks
        self._writers: set[asyncio.StreamWriter] = set()
        self._deaf: set[asyncio.StreamWriter] = set()  # towards these, bytes were lost

    async def listen(self) -> int:
        """Begin; returns the port to connect to."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def close(self) -> None:
        """Listen no more; connections end with the loop's tasks."""
        self._server.close()

    async def turn(self, state: WayState) -> None:
        """Treat connections so from now on."""
        _reset(self._deaf)
        self._deaf.clear()
        self._state = state
        if state == "cut":
            _reset(self._writers)
        (self._flowing.clear if state == "stall" else self._flowing.set)()

    async def lead(self, target: int) -> None:
        """Lead to another port from now on; what leads elsewhere ends."""
        self._target = target
        _reset(self._writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, serving = None, asyncio.current_task()
        self._serving.add(serving)
        try:
            if self._state == "cut":
                return
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers |= {writer, upstream}
            ways = {"out": self._carry(reader, upstream, "mute"), "back": self._carry(upstream_reader, writer)}
            pumps = [asyncio.create_task(way, name=f"chaos {name}") for name, way in ways.items()]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
        except OSError:
            pass  # nobody listens at the target: the caller sees its connection end
        finally:
            self._serving.discard(serving)
            ends = {end for end in (writer, upstream) if end is not None}
            self._writers -= ends
            self._deaf -= ends
            _reset(ends)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, loses: str = "") -> None:
        """Carry one direction, which loses everything in the state `loses` as well."""
        with contextlib.suppress(OSError):
            while data := await reader.read(_PIECE_BYTES):
                if self._state == "delay":
                    await asyncio.sleep(DELAY_S)
                await self._flowing.wait()
                if self._state in {"half-open", loses} or writer in self._deaf:
                    self._deaf.add(writer)
                    continue
                writer.write(data)
                await writer.drain()
        if self._state == "half-open":
            # The other end does not hear that this one is gone.
            self._deaf.add(writer)
            await asyncio.Event().wait()


class Proxies:
    """Proxies by name, served by a thread of their own while the block lasts."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos proxies", daemon=True)
        self._proxies: dict[str, TcpProxy] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def names(self) -> list[str]:
        """What `turn` takes."""
        return list(self._proxies)

    def through(self, name: str, port: int) -> int:
        """A new way to a port of loopback; returns the port that leads there."""

        async def add() -> int:
            self._proxies[name] = TcpProxy(port)
            return await self._proxies[name].listen()

        found: int = self._call(add())
        return found

    def turn(self, name: str, state: WayState) -> None:
        """Treat the connections of one way so from now on."""
        self._call(self._proxies[name].turn(state))

    def lead(self, name: str, port: int) -> None:
        """Let one way lead to another port of loopback from now on."""
        self._call(self._proxies[name].lead(port))

    async def _close(self) -> None:
        for proxy in self._proxies.values():
            proxy.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # aborted transports close their sockets in the loop's next rounds

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)


def _reset(writers: set[asyncio.StreamWriter]) -> None:
    for writer in list(writers):
        found = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            # Linger for no time: the peer sees a reset, as from a machine that knows no such connection.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        writer.transport.abort()
