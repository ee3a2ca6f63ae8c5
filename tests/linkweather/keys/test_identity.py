"""Certificates against a real mosquitto that `linkweather keys` has configured: who gets in, and as whom."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from linkweather.broker import Broker, BrokerSettings
from linkweather.cli.root import main
from linkweather.errors import OperatorError
from linkweather.keys.key_folder import KeyFolder
from linkweather.mqtt import Connection, Will
from linkweather.wire import topics
from probes.presence import client_id
from tests import servers
from tests.waiting import running_task

LIMIT_S = 60


def run(folder: Path, *words: str) -> str:
    result = CliRunner().invoke(main, ["keys", *words, "--folder", str(folder)])
    assert (result.exit_code, result.exception) == (0, None), result.output
    return result.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run(tmp_path / "keys", "init", "--broker-host", "127.0.0.1", "--broker-host", "broker.example.net")
    run(tmp_path / "keys", "site", "gz", "bj")
    return tmp_path / "keys"


@contextmanager
def broker(folder: Path) -> Iterator[tuple[int, int]]:
    """mosquitto with the configuration that was written; its port and process."""
    port, settings = servers.free_port(), folder / "broker" / "mosquitto.conf"
    text = settings.read_text().replace("listener 8883\n", f"listener {port} 127.0.0.1\n")
    settings.write_text(f"{text}user root\n")
    command = servers.require("mosquitto"), "-c", str(settings)
    with servers.running(*command, log=folder.parent / "mosquitto.log") as process:
        servers.wait_until(lambda: servers.answers(port), "mosquitto listens")
        yield port, process.pid


def settings_of(port: int, folder: Path, name: str = "site") -> BrokerSettings:
    url, cert, key = f"mqtts://127.0.0.1:{port}", folder / f"{name}.crt", folder / f"{name}.key"
    return BrokerSettings(url=url, ca_file=folder / "ca.crt", cert_file=cert, key_file=key)


def who(port: int, folder: Path, name: str = "site") -> Broker:
    return settings_of(port, folder, name).address


class Client:
    """A connection, and how often it was made."""

    def __init__(self, there: Broker, name: str, will: Will | None = None, topic: str = "none") -> None:
        self.made = 0
        self.heard: list[bytes] = []
        self.connection = Connection(
            there, name, subscriptions=[topic], handle=self._handle, on_connect=self._made, will=will
        )

    def _made(self) -> None:
        self.made += 1

    def _handle(self, _topic: str, payload: bytes) -> None:
        self.heard.append(payload)

    async def until(self, made: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while self.made < made:  # noqa: ASYNC110 - whatever made it
                await asyncio.sleep(0.01)

    async def refused(self) -> str:
        async with asyncio.timeout(LIMIT_S):
            while not self.connection.last_error:
                self.connection.reconnect()  # the broker may not have read its new list yet
                await asyncio.sleep(0.1)
        return self.connection.last_error


@asynccontextmanager
async def connecting(there: Broker, name: str, will: Will | None = None, topic: str = "none") -> AsyncIterator[Client]:
    client = Client(there, name, will, topic)
    async with running_task(client.connection.run()):
        yield client


async def test_a_site_speaks_for_itself_and_nobody_without_a_certificate_gets_in(folder: Path, tmp_path: Path) -> None:
    KeyFolder.create(tmp_path / "other", datetime.now(UTC), broker=["127.0.0.1"]).add_site("gz", datetime.now(UTC))
    with broker(folder) as (port, _):
        site = who(port, folder / "sites" / "gz")
        nameless = BrokerSettings(url=f"mqtts://127.0.0.1:{port}", ca_file=site.ca_file).address
        other = who(port, tmp_path / "other" / "sites" / "gz")
        for stranger, why in (
            (nameless, "is our certificate one of its authority"),
            (other, "has no certificate that we trust"),
        ):
            async with connecting(stranger, "x") as client:
                assert why in await client.refused()
        async with (
            connecting(site, "gz") as one,
            connecting(who(port, folder / "collector", "collector"), "c", topic=topics.ALL_STATUSES) as collector,
        ):
            await one.until(1)
            await collector.until(1)
            assert await one.connection.publish(topics.status("gz"), b"true")
            assert not await one.connection.publish(topics.status("bj"), b"forged")
            assert not await one.connection.publish(topics.committed("gz"), b"forged")
            async with asyncio.timeout(LIMIT_S):
                while not collector.heard:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert collector.heard == [b"true"]


async def test_a_revoked_certificate_is_refused_and_another_site_s_is_not(folder: Path, tmp_path: Path) -> None:
    with broker(folder) as (port, process):
        shutil.copytree(folder / "sites" / "gz", tmp_path / "stolen")
        said = run(folder, "rotate", "gz"), run(folder, "revoke", "gz")
        assert "gz: 2 revoked" in said[1]
        assert not (folder / "sites" / "gz").exists()
        signal_reload(process)
        async with connecting(who(port, tmp_path / "stolen"), "x") as stolen:
            assert "not revoked?" in await stolen.refused()
        run(folder, "site", "gz")  # the name may be given again
        for site in ("gz", "bj"):
            async with connecting(who(port, folder / "sites" / site), site) as client:
                await client.until(1)


def signal_reload(process: int) -> None:
    os.kill(process, signal.SIGHUP)


async def test_a_member_cannot_take_a_name_that_it_cannot_guess(folder: Path) -> None:
    """mosquitto lets any user end the connection of a client whose name it uses: names are 128 random bits."""
    data = folder.parent
    name = client_id("gz", data)
    assert client_id("gz", data) == name
    assert (data / "client-id").stat().st_mode & 0o777 == 0o600
    with broker(folder) as (port, _):
        site, member = who(port, folder / "sites" / "gz"), who(port, folder / "sites" / "bj")
        async with connecting(site, name) as ours:
            await ours.until(1)
            async with connecting(member, "linkweather-gz") as guess:
                await guess.until(1)
            assert await ours.connection.publish(topics.status("gz"), b"still here")
            assert ours.made == 1
            async with connecting(member, name) as knows:  # the test's own proof that names matter
                await knows.until(1)
                await ours.until(2)


async def test_a_connection_after_a_crash_ends_the_one_before_and_its_will_comes_first(folder: Path) -> None:
    with broker(folder) as (port, _):
        site = who(port, folder / "sites" / "gz")
        will = Will(topics.status("gz"), b"offline")
        collecting = connecting(who(port, folder / "collector", "collector"), "c", topic=topics.ALL_STATUSES)
        async with collecting as collector, connecting(site, "gz-1", will) as dead:
            await collector.until(1)
            await dead.until(1)
            async with connecting(site, "gz-1", will) as alive:
                await alive.until(1)
                assert await alive.connection.publish(topics.status("gz"), b"online", retain=True)
                async with asyncio.timeout(LIMIT_S):
                    while b"online" not in collector.heard:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                assert collector.heard.index(b"offline") < collector.heard.index(b"online")


async def test_a_new_certificate_is_taken_at_the_next_connection_without_a_restart(folder: Path) -> None:
    with broker(folder) as (port, process):
        site = who(port, folder / "sites" / "gz")
        async with connecting(site, "gz") as client:
            await client.until(1)
            for number, name in enumerate(("gz", "broker"), 2):
                run(folder, "rotate", name)
                signal_reload(process)
                client.connection.reconnect()
                await client.until(number)
            assert await client.connection.publish(topics.status("gz"), b"here")


def test_what_the_folder_holds_is_for_its_owner_alone(folder: Path) -> None:
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_dir()}
    assert (modes, folder.stat().st_mode & 0o777) == ({0o700}, 0o700)
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o600}
    assert sorted(path.name for path in (folder / "sites" / "gz").iterdir()) == [
        *("ca.crt", "mesh.key", "site.crt", "site.key")
    ]


def test_each_step_of_the_mesh_s_key_reaches_every_site_s_folder(folder: Path) -> None:
    for _ in range(3):
        assert "mesh.key" in run(folder, "rotate", "--mesh-key")
        own = (folder / "mesh.key").read_text()
        assert {(folder / "sites" / site / "mesh.key").read_text() for site in ("gz", "bj")} == {own}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["init", "--broker-host", "b"], "has an authority"),
        (["site", "collector"], "is no site id; broker, collector are taken"),
        (["site", "../x"], "is no site id"),
        (["site", "gz"], "`linkweather keys rotate gz` gives it another one"),
        (["rotate", "sh"], "has no certificate here: broker, collector, bj, gz have"),
        (["revoke", "sh"], "has no certificate that could be revoked"),
        (["rotate"], "name what gets another certificate, or say --mesh-key"),
        (["rotate", "gz", "--mesh-key"], "name what gets another certificate, or say --mesh-key"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(folder: Path, words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(main, ["keys", *words, "--folder", str(folder)])
    assert result.exit_code == 2
    assert sentence in result.output


def test_a_folder_without_an_authority_and_one_that_is_broken(tmp_path: Path, folder: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(OperatorError, match="`linkweather keys init` makes one"):
            KeyFolder.open(path)
    (folder / "ca.key").write_text("no key")
    with pytest.raises(OperatorError, match="its authority cannot be read"):
        KeyFolder.open(folder)


@pytest.mark.parametrize("missing", ["ca.crt", "site.crt", "site.key"])
def test_a_file_that_is_gone_or_no_certificate_is_named(folder: Path, missing: str) -> None:
    there = who(1, folder / "sites" / "gz")
    file = folder / "sites" / "gz" / missing
    for spoil in (lambda: file.write_text("nothing"), file.unlink):
        spoil()
        with pytest.raises(OperatorError, match=r"^broker\.(ca|cert|key)_file = '"):
            Connection(there, "x", subscriptions=[], handle=lambda *_: None)


def test_a_key_that_others_may_read_is_refused(folder: Path) -> None:
    (folder / "sites" / "gz" / "site.key").chmod(0o644)
    with pytest.raises(OperatorError, match="others may read it: run `chmod 600"):
        Connection(who(1, folder / "sites" / "gz"), "x", subscriptions=[], handle=lambda *_: None)
