"""The page as the collector's child: started by its first visitor, again after a crash, and never in the way."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import socket
from collections.abc import AsyncIterator

import httpx
import psutil
import pytest

from collector.page_process import PageProcess
from collector.settings import PageSettings
from tests import servers
from tests.waiting import running_task

LIMIT_S = 120.0


def page(**settings: object) -> PageProcess:
    return PageProcess(
        PageSettings.model_validate({"port": servers.free_port(), **settings}), "127.0.0.1", "http://127.0.0.1:1"
    )


@contextlib.asynccontextmanager
async def running(process: PageProcess) -> AsyncIterator[None]:
    async with running_task(process.run()):
        await asyncio.sleep(0)  # it listens from its first step on
        yield


async def opened(address: str) -> int:
    async with httpx.AsyncClient(timeout=LIMIT_S) as client:
        return (await client.get(address)).status_code


async def test_the_first_visitor_starts_it_and_a_crash_costs_no_more_than_a_wait() -> None:
    process = page()
    async with running(process):
        address = process.address("127.0.0.1")
        assert address is not None
        assert process.starts == 0
        assert await opened(address) == 200
        (child,) = _children()
        child.kill()
        assert await opened(address) == 200
        assert process.starts == 2
    assert not servers.answers(int(address.rsplit(":", 1)[1].strip("/")))


def _children() -> list[psutil.Process]:
    """The pages below this process."""
    return [child for child in psutil.Process().children() if "page" in child.cmdline() and "--fd" in child.cmdline()]


async def test_where_it_is_turned_off_there_is_none() -> None:
    process = page(enabled=False)
    await process.run()
    assert process.address("127.0.0.1") is None


async def test_a_taken_port_is_said_once_and_costs_only_the_page(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = page(port=taken.getsockname()[1])
        await process.run()
        assert process.address("127.0.0.1") is None
    (record,) = caplog.records
    assert record.getMessage().startswith(f"no page: [page] port = {process._port}: Address already in use")


async def test_without_its_packages_there_is_none_and_the_log_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with caplog.at_level("INFO"):
        await page().run()
    assert [record.getMessage() for record in caplog.records] == ["no page: it needs pip install 'linkweather[page]'"]


@pytest.mark.parametrize(
    ("listens", "reached", "leads"),
    [
        ("127.0.0.1", "localhost", "http://localhost:{port}/"),
        ("127.0.0.1", "collector.example.net", None),
        ("0.0.0.0", "collector.example.net", "http://collector.example.net:{port}/"),  # noqa: S104
        ("::1", "::1", "http://[::1]:{port}/"),
    ],
)
async def test_a_browser_is_led_to_a_page_that_it_can_reach(listens: str, reached: str, leads: str | None) -> None:
    process = page(host=listens)
    async with running(process):
        assert process.address(reached) == (leads and leads.format(port=process._port))
