"""A lab in a Python program: start it, ask it, change it; it leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from linkweather.lab.control_socket import ask, state_of
from linkweather.lab.labfile import LabFile
from linkweather.lab.protocol import ChangeLink, LabEngineName, LabReply, LabStart, LabState, ShowLab
from linkweather.private_folder import make_private
from linkweather.settings import validate

_END_LIMIT_S = 5.0
_REPLY_LIMIT_BYTES = 16 * 1024 * 1024  # 250 sites have 62,250 links


class Lab:
    """Emulated sites while the block runs: `async with Lab(lab_file, data_dir=…, seed=1) as lab:`.

    `engine` forces one; otherwise the best engine that works here runs, and `note` says why no better one does.
    `addresses` maps each site to its IPv4 address, `addresses6` to IPv6 (none on loopback). Entering raises
    OperatorError when the folder is taken, or the forced engine does not work here.
    """

    def __init__(self, lab: LabFile, *, data_dir: Path, seed: int, engine: LabEngineName | None = None) -> None:
        self._start = LabStart(lab=lab, data_dir=str(data_dir), seed=seed, engine=engine)
        self._data_dir = data_dir
        self._process: asyncio.subprocess.Process | None = None
        self.engine: LabEngineName = "loopback"
        self.note: str | None = None
        self.addresses: Mapping[str, str] = {}
        self.addresses6: Mapping[str, str] = {}
        self._namespaces: Mapping[str, str | None] = {}

    @property
    def emulated(self) -> bool:
        """Whether links have the delays, rates and losses of the lab file."""
        return self.engine != "loopback"

    async def __aenter__(self) -> Self:
        make_private(self._data_dir)
        self._process = await asyncio.create_subprocess_exec(
            *_python("linkweather.lab.lab_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C in a terminal must reach this process only: it ends the lab.
            start_new_session=True,
            limit=_REPLY_LIMIT_BYTES,
        )
        try:
            self._adopt(await self._first_reply(self._process))
        except BaseException:
            await self._end(self._process)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            await self._end(self._process)

    def command(self, site: str, argv: Sequence[str]) -> list[str]:
        """The argument list that runs a command inside a site; the command ends with the process that started it.

        Raises KeyError for an unknown site.
        """
        namespace = self._namespaces[site]
        if namespace is None:
            return list(argv)
        return [*_python("linkweather.lab.enter"), namespace, str(os.getpid()), "--", *argv]

    async def change(
        self,
        src: str,
        dst: str,
        *,
        both: bool = False,
        delay_s: float | None = None,
        jitter_s: float | None = None,
        rate_bps: float | None = None,
        loss_ratio: float | None = None,
        duplicate_ratio: float | None = None,
        reorder_ratio: float | None = None,
        queue_s: float | None = None,
        cut: bool | None = None,
        via: Sequence[str] | None = None,
    ) -> LabState:
        """Change a link while it runs; None leaves a setting as it is. Raises OperatorError with the refusal."""
        values = {
            "src": src,
            "dst": dst,
            "both": both,
            "delay_s": delay_s,
            "jitter_s": jitter_s,
            "rate_bps": rate_bps,
            "loss_ratio": loss_ratio,
            "duplicate_ratio": duplicate_ratio,
            "reorder_ratio": reorder_ratio,
            "queue_s": queue_s,
            "cut": cut,
            "via": via if via is None else list(via),
        }
        change = validate(values, ChangeLink, f"link {src} → {dst}")
        return await asyncio.to_thread(ask, self._data_dir, change)

    async def state(self) -> LabState:
        """The lab as it is now, with its counters."""
        return await asyncio.to_thread(ask, self._data_dir, ShowLab())

    async def _first_reply(self, process: asyncio.subprocess.Process) -> LabState:
        assert process.stdin is not None  # noqa: S101  # we asked for the pipes
        assert process.stdout is not None  # noqa: S101
        # This pipe stays open: the lab ends when it closes, so also when this process dies.
        process.stdin.write(self._start.model_dump_json().encode() + b"\n")
        line = await process.stdout.readline()
        return state_of(LabReply.model_validate_json(line or b"{}"))

    def _adopt(self, state: LabState) -> None:
        self.engine, self.note = state.engine, state.note
        self.addresses = {name: site.address for name, site in state.sites.items()}
        self.addresses6 = {name: site.address6 for name, site in state.sites.items() if site.address6 is not None}
        self._namespaces = {name: site.namespace for name, site in state.sites.items()}

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        self._process = None
        assert process.stdin is not None  # noqa: S101
        process.stdin.close()
        try:
            async with asyncio.timeout(_END_LIMIT_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _python(module: str) -> list[str]:
    # -P: a folder of the user must not hide one of our modules.
    return [sys.executable, "-P", "-m", module]
