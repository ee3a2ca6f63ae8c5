"""A headless Chromium, Debian's own, in which a test opens the page and hears of all that goes wrong in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests import servers

LIMIT_MS = 60_000


@dataclass
class Tab:
    """An open page, what its console said, and what it asked of other machines."""

    page: Page
    said: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def open(self, address: str) -> None:
        """Open an address, and wait until the page is connected and shows its headline."""
        self.page.goto(address)
        self.page.wait_for_selector("h1")
        self.page.wait_for_function("window.socket?.connected && window.did_handshake")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The browser. As root, and in containers, it runs without its sandbox: it opens nothing but our page."""
    program = servers.require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def tab(browser: Browser, **options: Any) -> Iterator[Tab]:
    """A tab of its own, without cookies."""
    context = browser.new_context(**{"viewport": {"width": 1400, "height": 1000}, **options})
    context.set_default_timeout(LIMIT_MS)
    opened = Tab(context.new_page())
    opened.page.on("console", lambda line: opened.said.append(f"{line.type}: {line.text}"))
    opened.page.on("pageerror", lambda error: opened.said.append(f"error: {error}"))
    opened.page.on("request", lambda request: _note(opened, request.url))
    try:
        yield opened
    finally:
        context.close()


def _note(opened: Tab, url: str) -> None:
    if not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")):
        opened.left.append(url)
