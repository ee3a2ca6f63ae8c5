"""Who gets in, by real HTTP: over the port, with TLS, over the collector's own socket, with tokens made and revoked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import stat
import subprocess
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from collector.api import middleware
from collector.api.access import AccessRules, refuse_exposed
from collector.api.app import create_app
from collector.api.http_server import HttpServer
from collector.api.request_rates import RequestRates
from collector.api.tokens import TokenFile, now_utc
from collector.settings import ApiSettings
from linkweather.api_place import local_api, socket_name
from linkweather.cli.root import main
from linkweather.client import AsyncClient, Client
from linkweather.containment import overflows
from linkweather.errors import OperatorError
from linkweather.settings import validate
from tests import servers
from tests.collector.api.serving import served
from tests.collector.api.test_app import TOML, ApiWorld

WRITES: list[tuple[str, str, dict[str, Any]]] = [("PUT", "/api/v1/mesh", {"content": "good", "headers": TOML})]
READS = ["/api/v1/links", "/api/v1/sites", "/api/v1/mesh", "/metrics", "/readyz", "/api/v1/links/a/b/history"]
OPEN = ["/", "/docs", "/openapi.json", "/healthz"]


@pytest.fixture
def world() -> ApiWorld:
    return ApiWorld()


@contextlib.asynccontextmanager
async def serving(
    world: ApiWorld, folder: Path, rates: RequestRates | None = None, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A server of these settings; a client of its port."""
    api = ApiSettings(port=servers.free_port(), **settings)
    rules = AccessRules.of(api, TokenFile(folder), ["collector.example"])
    async with served(create_app(replace(world.sources(), access=rules, rates=rates)), api, folder) as client:
        yield client


def token(folder: Path, name: str, scope: str) -> dict[str, str]:
    made = CliRunner().invoke(main, ["token", "add", name, "--scope", scope, "--data-dir", str(folder)])
    assert made.exit_code == 0, made.output
    return {"Authorization": f"Bearer {made.output.strip()}"}


def cli(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, words)
    return result.exit_code, result.output


@pytest.mark.parametrize(("method", "path", "more"), WRITES)
async def test_a_program_on_this_machine_changes_nothing_by_the_port(
    world: ApiWorld, tmp_path: Path, method: str, path: str, more: dict[str, Any]
) -> None:
    """What a proxy in front passes on looks the same, so no address is trusted."""
    async with serving(world, tmp_path) as http:
        for headers in ({}, {"X-Forwarded-For": "192.0.2.7"}, {"Forwarded": "for=192.0.2.7"}):
            answer = await http.request(method, path, **{**more, "headers": {**more["headers"], **headers}})
            assert (answer.status_code, answer.headers["www-authenticate"][:6]) == (401, "Bearer")
    assert world.pushed == []


async def test_its_user_changes_things_over_its_own_socket_which_commands_find(world: ApiWorld, tmp_path: Path) -> None:
    async with serving(world, tmp_path) as http:
        url = str(http.base_url)
        path = tmp_path / socket_name(http.base_url.port or 0)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert local_api(url) == f"unix://{path}"
        async with AsyncClient(f"unix://{path}") as client:
            assert (await client.push_mesh("good")).links == 2
            for given in ("", "lw_guessed"):
                async with client.on_behalf_of("192.0.2.7", given) as viewer:
                    with pytest.raises(OperatorError, match="token"):
                        await viewer.push_mesh("bad")
        assert world.pushed == ["good"]
    assert not path.exists()
    assert local_api(url) == url
    assert local_api("http://192.0.2.1:1") == "http://192.0.2.1:1"
    assert local_api("nonsense") == "nonsense"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
async def test_another_user_gets_nowhere_by_the_socket(world: ApiWorld, tmp_path: Path) -> None:
    async with serving(world, tmp_path) as http:
        path = tmp_path / socket_name(http.base_url.port or 0)
        for folder in (path.parent, *path.parents):
            with contextlib.suppress(OSError):
                folder.chmod(folder.stat().st_mode | 0o111)
        path.chmod(0o666)  # the file let it in, the server does not
        program = f"""import socket
s = socket.socket(socket.AF_UNIX)
s.connect({str(path)!r})
s.send(b"GET / HTTP/1.0\\r\\n\\r\\n")
print(s.recv(9))"""
        asked = await asyncio.create_subprocess_exec(
            "/usr/bin/env", "python3", "-c", program, stdout=-1, stderr=-1, user=65534, group=65534
        )
        said, _ = await asyncio.wait_for(asked.communicate(), 60)
        assert b"HTTP" not in said


async def test_a_socket_of_a_killed_collector_is_replaced_and_a_long_folder_has_one(
    world: ApiWorld, tmp_path: Path
) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    async with serving(world, folder) as http:
        assert stat.S_ISSOCK((folder / socket_name(http.base_url.port or 0)).stat().st_mode)
        assert (await http.get("/healthz")).status_code == 200


async def test_tokens_for_reading_and_writing_count_from_the_moment_they_are_made_until_they_are_revoked(
    world: ApiWorld, tmp_path: Path
) -> None:
    async with serving(world, tmp_path) as http:
        assert [(await http.get(path)).status_code for path in READS] == [200] * len(READS)
        write = token(tmp_path, "ops", "write")
        assert (await http.get("/api/v1/links")).status_code == 200  # no token for reading yet
        read = token(tmp_path, "prometheus", "read")
        assert [(await http.get(path)).status_code for path in READS] == [401] * len(READS)
        assert [(await http.head(path)).status_code for path in READS] == [401] * len(READS)
        assert [(await http.get(path)).status_code in {200, 307} for path in OPEN] == [True] * len(OPEN)
        for headers in (read, write):
            assert [(await http.get(path, headers=headers)).status_code for path in READS] == [200] * len(READS)
        answers = [await http.put("/api/v1/mesh", content="x", headers={**TOML, **one}) for one in (read, write, {})]
        assert [answer.status_code for answer in answers] == [403, 200, 401]
        wrong = {"Authorization": "Bearer lw_wrong"}
        assert (await http.get("/healthz", headers=wrong)).status_code == 401
        assert (
            await http.get("/metrics", headers={"Authorization": f"Basic {read['Authorization'][7:]}"})
        ).status_code == 401
        assert cli("token", "revoke", "ops", "--data-dir", str(tmp_path)) == (0, "ops is revoked\n")
        assert (await http.put("/api/v1/mesh", content="x", headers={**TOML, **write})).status_code == 401
        assert cli("token", "revoke", "prometheus", "--data-dir", str(tmp_path))[0] == 0
        assert (await http.get("/api/v1/links")).status_code == 200


async def test_reading_is_open_or_closed_where_the_settings_say_so(world: ApiWorld, tmp_path: Path) -> None:
    async with serving(world, tmp_path, reading_needs_token=True) as http:
        assert (await http.get("/metrics")).status_code == 401
        async with AsyncClient(local_api(str(http.base_url))) as local:
            assert len(await local.links()) == 2
    token(tmp_path, "one", "read")
    async with serving(world, tmp_path, reading_needs_token=False) as http:
        assert (await http.get("/metrics")).status_code == 200


def test_the_file_has_no_token_only_its_hash_and_is_the_users_alone(tmp_path: Path) -> None:
    made = token(tmp_path, "one", "read")["Authorization"].removeprefix("Bearer ")
    file = tmp_path / "tokens.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made not in file.read_text()
    assert made.startswith("lw_")
    assert len(made) == 46  # 256 bits in base64
    assert cli("token", "add", "one", "--data-dir", str(tmp_path))[0] == 2
    assert cli("token", "add", "no name", "--data-dir", str(tmp_path))[0] == 2
    assert cli("token", "revoke", "two", "--data-dir", str(tmp_path)) == (
        2,
        "Error: 'two': no such token; there are one\n",
    )


def test_tokens_that_are_made_and_revoked_at_once_lose_no_change_of_one_another(tmp_path: Path) -> None:
    names = [f"t{number}" for number in range(24)]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda name: TokenFile(tmp_path).add(name, "read", now_utc()), names))
    assert {one.name for one in TokenFile(tmp_path).tokens()} == set(names)
    with ThreadPoolExecutor() as threads:
        list(threads.map(TokenFile(tmp_path).revoke, names[:20]))
    assert {one.name for one in TokenFile(tmp_path).tokens()} == set(names[20:])


def test_tokens_are_listed_with_when_they_were_used(tmp_path: Path) -> None:
    assert cli("token", "list", "--data-dir", str(tmp_path)) == (0, "there are no tokens\n")
    given = token(tmp_path, "one", "read")["Authorization"].removeprefix("Bearer ")
    tokens = TokenFile(tmp_path)
    assert tokens.scope_of(given, now_utc()) == "read"
    tokens.write_used()
    (listed,) = json.loads(cli("token", "list", "--json", "--data-dir", str(tmp_path))[1])
    assert (listed["name"], listed["scope"], listed["used_at"] >= listed["created_at"]) == ("one", "read", True)
    assert "used 20" in cli("token", "list", "--data-dir", str(tmp_path))[1]
    assert cli("token", "list", "--data-dir", str(tmp_path / "none"))[0] == 2


async def test_an_address_that_asks_too_fast_is_refused_and_the_collectors_own_socket_is_not(
    world: ApiWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "REFUSED_AFTER_S", 0.0)
    counted = overflows().get("requests", 0)
    async with serving(world, tmp_path, RequestRates(per_s=0.01, most=3)) as http:
        answers = [await http.get(path) for path in ("/healthz", "/api/v1/links", "/metrics", "/api/v1/links")]
        answers.append(await http.head("/none"))  # also what is nowhere, and another method
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        seconds = answers[3].headers["retry-after"]
        assert 1 <= int(seconds) <= 100
        sentence = f"too many requests from this address: try again in {seconds} s; [api] requests_per_s has the limit"
        assert answers[3].json() == {"error": sentence, "field": None}
        assert answers[3].headers["x-content-type-options"] == "nosniff"
        async with AsyncClient(f"unix://{tmp_path / socket_name(http.base_url.port or 0)}") as ours:
            for _ in range(5):
                assert len(await ours.links()) == 2
    assert overflows()["requests"] == counted + 2


async def test_a_damaged_file_of_tokens_lets_nothing_in(world: ApiWorld, tmp_path: Path) -> None:
    read = token(tmp_path, "one", "read")
    async with serving(world, tmp_path) as http:
        assert (await http.get("/metrics", headers=read)).status_code == 200
        (tmp_path / "tokens.json").write_text("[{]")
        assert (await http.get("/metrics", headers=read)).status_code == 401
        assert (await http.get("/metrics")).status_code == 401
    code, said = cli("token", "list", "--data-dir", str(tmp_path))
    assert (code, "is no file of tokens" in said) == (2, True)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize(
    ("host", "status"), [("evil.example", 421), ("evil.example:80", 421), ("[::1", 400), ("", 400)]
)
async def test_a_name_that_is_not_ours_is_refused_by_every_method(
    world: ApiWorld, tmp_path: Path, method: str, host: str, status: int
) -> None:
    """A web page reaches us by its own name: DNS rebinding."""
    async with serving(world, tmp_path) as http:
        assert (await http.request(method, "/api/v1/mesh", headers={"Host": host})).status_code == status


async def test_our_own_names_and_addresses_are_taken(world: ApiWorld, tmp_path: Path) -> None:
    async with serving(world, tmp_path, hosts=("weather.example",)) as http:
        for host in ("localhost", "127.0.0.1:1", "[::1]:8484", "192.0.2.1", "Weather.Example.", "collector.example"):
            assert (await http.get("/healthz", headers={"Host": host})).status_code == 200, host
    async with serving(world, tmp_path, hosts=("*",)) as http:
        assert (await http.get("/healthz", headers={"Host": "any.example"})).status_code == 200


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_a_body_that_a_form_of_a_web_page_can_send_is_refused(
    world: ApiWorld, tmp_path: Path, kind: str | None
) -> None:
    headers = token(tmp_path, "ops", "write") | ({"Content-Type": kind} if kind else {})
    async with serving(world, tmp_path) as http:
        for method, path in (("PUT", "/api/v1/mesh"), ("POST", "/api/v1/placements"), ("DELETE", "/api/v1/mesh")):
            assert (await http.request(method, path, content="{}", headers=headers)).status_code == 415
            chunked = await http.request(method, path, content=_chunks(), headers=headers)
            assert chunked.status_code == 415
    assert world.pushed == []


async def _chunks() -> AsyncIterator[bytes]:
    yield b"{}"


async def test_every_answer_says_what_browsers_may_not_do_with_it(world: ApiWorld, tmp_path: Path) -> None:
    async with serving(world, tmp_path) as http:
        for path in ("/docs", "/api/v1/sites", "/none", "/api/v1/links/a/b/history?metric=rtt_max_s"):
            headers = (await http.get(path)).headers
            assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert (headers["cache-control"], "server" in headers) == ("no-store", False)
        assert (await http.get("/api/v1/links")).headers["cache-control"] == "no-cache"  # it has an ETag


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "collector.example"])  # noqa: S104 – to be refused
def test_other_machines_reach_no_api_without_token_and_tls(host: str) -> None:
    files: dict[str, Any] = {"cert_file": Path("c"), "key_file": Path("k")}
    cases: list[tuple[dict[str, Any], bool, str]] = [
        ({}, False, "no token (`linkweather token add`) and no TLS (cert_file and key_file)"),
        ({}, True, "no TLS (cert_file and key_file)"),
        (files, False, "no token (`linkweather token add`)"),
    ]
    for settings, any_token, missing in cases:
        with pytest.raises(OperatorError) as refused:
            refuse_exposed(ApiSettings(host=host, **settings), any_token=any_token)
        assert f"there is {missing}: add what is missing, or say insecure = true" in str(refused.value)
    refuse_exposed(ApiSettings(host=host, **files), any_token=True)
    refuse_exposed(ApiSettings(host=host, insecure=True), any_token=False)
    for loopback in ("127.0.0.1", "::1", "localhost"):
        refuse_exposed(ApiSettings(host=loopback), any_token=False)


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    folder = tmp_path / "tls"
    folder.mkdir()
    for name in ("old", "new"):
        made = ["-newkey", "rsa:2048", "-nodes", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt"]
        subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run(["openssl", "req", "-x509", *made, *subject], check=True, capture_output=True)
    (folder / "api.crt").write_bytes((folder / "old.crt").read_bytes())
    (folder / "api.key").write_bytes((folder / "old.key").read_bytes())
    return folder


async def test_tls_is_served_and_changed_files_count_without_a_restart(
    world: ApiWorld, tmp_path: Path, certificates: Path
) -> None:
    async with serving(world, tmp_path, cert_file=certificates / "api.crt", key_file=certificates / "api.key") as http:
        url = str(http.base_url)

        async def trusted(name: str) -> bool:
            context = ssl.create_default_context(cafile=str(certificates / f"{name}.crt"))
            async with httpx.AsyncClient(verify=context, trust_env=False) as client:
                with contextlib.suppress(httpx.ConnectError):
                    return (await client.get(f"{url}/healthz")).is_success
            return False

        assert await trusted("old")
        with pytest.raises(httpx.HTTPError):
            await http.get(url.replace("https:", "http:"))
        async with AsyncClient(local_api(url)) as local:
            assert len(await local.sites()) == 2
        (certificates / "api.crt").write_bytes((certificates / "new.crt").read_bytes())  # half of a change: refused
        await asyncio.sleep(0)
        assert await trusted("old") or await trusted("new")
        (certificates / "api.key").write_bytes((certificates / "new.key").read_bytes())
        async with asyncio.timeout(60):
            while not await trusted("new"):  # noqa: ASYNC110 – the server looks once a second
                await asyncio.sleep(0.1)
        assert not await trusted("old")


def test_tls_that_cannot_be_is_one_sentence(world: ApiWorld, certificates: Path) -> None:
    app = create_app(world.sources())
    for cert, key in (("none.crt", "old.key"), ("old.crt", "new.key"), ("old.key", "old.key")):
        settings = ApiSettings(port=servers.free_port(), cert_file=certificates / cert, key_file=certificates / key)
        with pytest.raises(OperatorError, match=r"^api.cert_file = '.*': cannot be used: "):
            HttpServer(app, settings)


def test_an_impossible_place_of_the_api_is_one_sentence() -> None:
    with pytest.raises(OperatorError, match=r"unix:///path$"), Client("ftp://x"):
        pass


def test_tls_needs_both_of_its_files() -> None:
    with pytest.raises(OperatorError, match="cert_file and key_file: set both, or neither"):
        validate({"cert_file": Path("x.crt")}, ApiSettings, "collector.toml")
