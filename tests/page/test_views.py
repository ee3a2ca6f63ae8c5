"""Every view in a real browser, before a real collector that hears of played hubs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests import servers
from tests.page.browsing import LIMIT_MS, Tab, chromium, tab
from tests.page.played_hubs import HUBS, TOKEN, PlayedHubs, hubs_and_collector, page_of

expect.set_options(timeout=LIMIT_MS)
LINKS = len(HUBS) * (len(HUBS) - 1)
GZ, CC = (sorted(hub[0] for hub in HUBS).index(name) for name in ("gz", "cc"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PlayedHubs, str]]:
    """The hubs, and where their page is."""
    folder = tmp_path_factory.mktemp("page")
    with hubs_and_collector(folder) as (hubs, api):
        yield hubs, str(httpx.get(api).headers["location"]).rstrip("/")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def opened(browser: Browser) -> Iterator[Tab]:
    """A tab in which nothing may go wrong, and which may ask no other machine."""
    with tab(browser) as one:
        yield one
        assert one.said == []
        assert one.left == []


def serious(opened: Tab, *schemes: Literal["light", "dark"]) -> list[tuple[str, str]]:
    """What axe-core finds serious or critical, in these colour schemes."""
    found: list[tuple[str, str]] = []
    light: tuple[Literal["light"], ...] = ("light",)
    for scheme in schemes or light:
        opened.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        expect(opened.page.locator("body.body--dark")).to_have_count(int(scheme == "dark"))
        findings = Axe().run(opened.page).response["violations"]
        worst = (finding for finding in findings if finding["impact"] in {"serious", "critical"})
        found += [(finding["id"], finding["nodes"][0]["html"][:200]) for finding in worst]
    return found


def cell(src: int, dst: int) -> str:
    return f'.cell[data-row="{src}"][data-column="{dst}"]'


def test_the_first_view_shows_every_link(opened: Tab, running: tuple[PlayedHubs, str]) -> None:
    opened.open(running[1])
    page = opened.page
    expect(page.locator(".cell.fresh[data-row]")).to_have_count(LINKS)
    expect(page.locator("h1")).to_have_text(f"All is well: {LINKS} links.")
    expect(page.locator(".bar")).to_contain_text("hubs")
    expect(page.locator(cell(GZ, CC))).to_have_text(re.compile(r"\d+\.\d"))
    page.hover(cell(GZ, CC))
    expect(page.locator(".card h2")).to_have_text("gz → cc")
    expect(page.locator(".card")).to_contain_text("Mbit/s")
    assert serious(opened, "light", "dark") == []


def test_a_metric_is_chosen_and_the_address_says_so(opened: Tab, running: tuple[PlayedHubs, str]) -> None:
    opened.open(running[1])
    page = opened.page
    page.get_by_role("button", name="goodput").click()
    expect(page.get_by_role("button", name="goodput")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Sort").select_option("region")
    page.wait_for_url("**/?metric=goodput&sort=region")
    expect(page.locator("table.goodput tr.begins")).to_have_count(2)
    opened.open(page.url)
    expect(page.locator("table.goodput tr.begins")).to_have_count(2)
    page.get_by_label("Collapse").select_option("operator")
    expect(page.locator("table.grid tbody tr")).to_have_count(2)
    page.locator(cell(0, 1)).click()
    page.wait_for_url("**/?collapse=none&src=one&dst=two")


def test_arrow_keys_go_from_cell_to_cell_and_enter_opens_the_link(opened: Tab, running: tuple[PlayedHubs, str]) -> None:
    opened.open(running[1])
    page = opened.page
    page.locator(cell(0, 1)).focus()
    page.keyboard.press("ArrowDown")  # past the empty cell of a site to itself
    expect(page.locator(cell(2, 1))).to_be_focused()
    expect(page.locator(".card h2")).to_have_text("gba → cc")
    page.keyboard.press("Enter")
    page.wait_for_url("**/link/gba/cc")
    expect(page.locator("h1")).to_have_text("gba → cc")


def test_a_cut_link_turns_red_and_its_incident_is_told_without_a_reload(
    opened: Tab, running: tuple[PlayedHubs, str]
) -> None:
    hubs, page = running[0], opened.page
    opened.open(running[1])
    expect(page.locator(cell(GZ, CC))).to_have_class(re.compile("fresh"))
    hubs.cut("gz", "cc")
    try:
        expect(page.locator(cell(GZ, CC))).to_have_class(re.compile("down"))
        expect(page.locator("h1")).to_have_text(re.compile("thing is wrong since"))
        expect(page.locator(".incident.critical").first).to_contain_text("cc → gz is down")
        page.locator(".incident.critical").first.get_by_role("link", name="acknowledge").click()
        page.wait_for_url("**/incidents?incident=*")
        send(opened, reason="the cable is ordered", token=TOKEN)
        expect(page.locator(".answer")).to_have_text(re.compile(r"^\w+ until .+ UTC: the cable is ordered$"))
        expect(page.locator(".headline")).to_contain_text("the cable is ordered")
        opened.open(running[1])
    finally:
        hubs.restore("gz", "cc")
    expect(page.locator(cell(GZ, CC))).to_have_class(re.compile("fresh"))


def send(opened: Tab, **fields: str) -> None:
    """Fill the form of the incidents in, and send it."""
    opened.page.wait_for_function("window.socket?.connected && window.did_handshake")
    for name, value in fields.items():
        opened.page.locator(f"input[name={name}]").fill(value)
    opened.page.get_by_role("button", name="send").click()


def test_a_site_is_silenced_with_the_token_alone_and_the_silence_is_ended(
    opened: Tab, running: tuple[PlayedHubs, str]
) -> None:
    opened.open(f"{running[1]}/incidents")
    page = opened.page
    wanted = {"site": "yd", "reason": "new switch", "until": "3h"}
    page.locator("input[name=until]").fill("3h")
    page.evaluate("mounted_app.$forceUpdate()")  # as any news does
    expect(page.locator("input[name=until]")).to_have_value("3h")
    for token in ("", "guessed"):
        send(opened, **wanted, token=token)
        expect(page.locator(".answer")).to_contain_text("token")
        page.reload()
    send(opened, **wanted, token=TOKEN)
    expect(page.get_by_role("row", name="yd")).to_have_count(1)
    assert serious(opened, "light", "dark") == []
    page.get_by_role("row", name="yd").get_by_role("button").click()
    expect(page.locator(".answer")).to_contain_text("is ended")
    expect(page.get_by_role("row", name="yd")).to_have_count(0)
    send(opened, site="lost", reason="new switch", until="3h", token=TOKEN)
    expect(page.locator(".answer")).to_contain_text("lost")


def test_a_placement_is_asked_for_and_answered_as_by_the_command(opened: Tab, running: tuple[PlayedHubs, str]) -> None:
    opened.open(f"{running[1]}/decisions?src=gz")
    page = opened.page
    page.locator("input[name=data]").fill("2TB")
    page.get_by_role("button", name="ask").click()
    expect(page.locator(".empty")).to_contain_text("data '2TB': must be SITE:BYTES")
    for name, value in {"data": "bj:2TB, gs:1GB", "devices": "a100:8", "work": "16"}.items():
        page.locator(f"input[name={name}]").fill(value)
    page.get_by_role("button", name="ask").click()
    expect(page.locator("main")).to_contain_text("No site can run the job: ")


def test_a_link_s_view_draws_its_history_and_hands_it_out(
    opened: Tab, running: tuple[PlayedHubs, str], tmp_path: Path
) -> None:
    opened.open(f"{running[1]}/link/bj/nx?since=24h")
    page = opened.page
    expect(page.locator(".chart canvas")).to_have_count(3)
    expect(page.locator("main")).to_contain_text("The path has not changed.")
    expect(page.locator(".lines").last).to_contain_text("goodput")
    expect(page.locator(".lines").last).to_contain_text("of the last 30 days")
    assert serious(opened, "dark") == []
    with page.expect_download() as picture:
        page.get_by_role("button", name="PNG").click()
    picture.value.save_as(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    with page.expect_download() as figures:
        page.get_by_role("link", name="CSV").click()
    figures.value.save_as(tmp_path / "figures.csv")
    assert (tmp_path / "figures.csv").read_text().startswith("at,reports,")
    page.get_by_role("button", name="year").click()
    page.wait_for_url("**/link/bj/nx?since=365d")
    expect(page.locator(".chart canvas").first).to_be_visible()


def test_a_site_s_view_has_what_it_says_and_its_links(opened: Tab, running: tuple[PlayedHubs, str]) -> None:
    opened.open(f"{running[1]}/site/gz")
    expect(opened.page.locator(".listing tbody tr")).to_have_count(2 * (len(HUBS) - 1))
    expect(opened.page.locator(".lines")).to_contain_text("online")
    expect(opened.page.locator(".listing thead").first).to_contain_text("next throughput test")
    assert serious(opened) == []


@pytest.mark.parametrize("path", ["/link/gz/lost", "/site/lost"])
def test_what_the_mesh_does_not_have_is_said(opened: Tab, running: tuple[PlayedHubs, str], path: str) -> None:
    opened.open(running[1] + path)
    expect(opened.page.locator(".empty").last).to_contain_text("The mesh has no")


def test_in_chinese_and_on_a_phone(browser: Browser, running: tuple[PlayedHubs, str]) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "locale": "zh-CN", "has_touch": True}
    with tab(browser, **phone) as opened:
        opened.open(running[1])
        page = opened.page
        expect(page.locator("h1")).to_have_text(re.compile("一切正常|处异常"))
        expect(page.locator("html")).to_have_attribute("lang", "zh")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.get_by_role("button", name="◐").or_(page.get_by_label("浅色或深色")).first.click()
        expect(page.locator("body.body--dark")).to_have_count(1)
        page.wait_for_function("window.did_handshake")
        page.get_by_text("English").click()
        expect(page.locator("h1")).to_have_text(re.compile("All is well|wrong since"))
        expect(page.locator("body.body--dark")).to_have_count(1)
        assert (opened.said, opened.left) == ([], [])


def test_without_a_collector_the_page_says_so_and_what_it_asked(browser: Browser, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{servers.free_port()}"
    with page_of(nobody, tmp_path) as page, tab(browser) as opened:
        opened.open(page)
        expect(opened.page.locator("h1")).to_have_text("The collector has not answered yet.")
        expect(opened.page.locator(".live")).to_contain_text(f"the collector at {nobody} does not answer")


def test_the_decisions_of_a_source_and_of_one_pair(opened: Tab, running: tuple[PlayedHubs, str]) -> None:
    opened.open(f"{running[1]}/decisions?src=gz")
    page = opened.page
    expect(page.locator(".listing").first.locator("tbody tr")).to_have_count(len(HUBS) - 1)
    expect(page.locator("main")).to_contain_text("How the decisions of the last hour did")
    page.get_by_label("to", exact=True).select_option("yd")
    page.wait_for_url("**/decisions?src=gz&dst=yd&objective=latency")
    expect(page.locator("main")).to_contain_text("gz → yd")
    expect(page.locator(".listing").first).to_contain_text("take")
    assert serious(opened) == []
    page.get_by_label("by", exact=True).select_option("completion")
    page.wait_for_url("**objective=completion*")  # a form that is loaded again forgets what was typed
    page.get_by_label("bytes").fill("many")
    page.get_by_label("bytes").press("Tab")
    expect(page.locator(".empty")).to_contain_text("'many': must be a size in bytes")


def test_the_map_draws_the_sites(opened: Tab, running: tuple[PlayedHubs, str]) -> None:
    opened.open(f"{running[1]}/map")
    expect(opened.page.locator(".chart.map canvas").first).to_be_visible()
    assert serious(opened) == []
