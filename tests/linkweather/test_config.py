"""The example files work as they stand."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import aiomqtt
import pytest

from collector.settings import CollectorSettings
from collector.sinks.builtin import InfluxSettings
from linkweather import settings
from linkweather.mesh import Mesh
from linkweather.wire import topics
from tests import servers

CONFIG = Path(__file__).parents[2] / "config"


def test_the_example_mesh_is_valid() -> None:
    mesh = settings.load(CONFIG / "mesh.toml", Mesh)
    assert list(mesh.pairs()) == [("north", "south"), ("north", "store"), ("south", "north"), ("south", "store")]


def test_the_example_collector_settings_are_the_defaults() -> None:
    assert settings.load(CONFIG / "collector.toml", CollectorSettings) == CollectorSettings()


def test_what_is_commented_out_of_the_collector_settings_works_when_it_is_not() -> None:
    lines = (CONFIG / "collector.toml").read_text().splitlines()
    text = "\n".join(line.removeprefix("# ") if " = " in line or line.startswith("# [") else line for line in lines)
    found = settings.validate(tomllib.loads(text), CollectorSettings, "collector.toml")
    influx = found.sinks["influx"]
    assert isinstance(influx, InfluxSettings)
    assert (influx.bucket, found.journal.keep_days, found.api.token_file) == (
        "linkweather",
        7,
        Path("api.token"),
    )


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "mosquitto.passwd"
    path.write_text("collector:c\nnorth:n\nsouth:s\n")
    subprocess.run([servers.require("mosquitto_passwd"), "-U", str(path)], check=True, capture_output=True)
    return path


async def heard(port: int, user: str, password: str, subscription: str, sent: list[tuple[str, str, str]]) -> list[str]:
    """The topics that `user` hears after others (user, password, topic) published; the last of them ends it."""
    async with aiomqtt.Client(
        "127.0.0.1", port, username=user, password=password, protocol=aiomqtt.ProtocolVersion.V5
    ) as listener:
        await listener.subscribe(subscription, qos=1)
        for name, secret, topic in sent:
            async with aiomqtt.Client(
                "127.0.0.1", port, username=name, password=secret, protocol=aiomqtt.ProtocolVersion.V5
            ) as speaker:
                # mosquitto says under MQTT 5 that a publication was not authorized.
                try:
                    await speaker.publish(topic, b"x", qos=1)
                except aiomqtt.MqttError:
                    continue
        found: list[str] = []
        async for message in listener.messages:
            found.append(message.topic.value)
            if found[-1] == sent[-1][2]:
                break
    return found


async def test_the_access_rules_let_no_site_speak_for_another(tmp_path: Path, password_file: Path) -> None:
    extra = f"password_file {password_file}\nacl_file {CONFIG / 'mosquitto.acl'}\nuser root\n"
    with servers.mosquitto(tmp_path, extra=extra) as port:
        found = await heard(
            port,
            "collector",
            "c",
            "linkweather/v1/site/+/report/+",
            [
                ("south", "s", topics.report("north", "path")),
                ("south", "s", topics.report("south", "latency")),
                ("north", "n", topics.report("north", "latency")),
            ],
        )
    assert found == [topics.report("south", "latency"), topics.report("north", "latency")]


async def test_the_access_rules_let_an_invited_site_hear_who_really_invites(
    tmp_path: Path, password_file: Path
) -> None:
    extra = f"password_file {password_file}\nacl_file {CONFIG / 'mosquitto.acl'}\nuser root\n"
    with servers.mosquitto(tmp_path, extra=extra) as port:
        found = await heard(
            port,
            "north",
            "n",
            "linkweather/v1/site/north/#",
            [
                ("south", "s", topics.invite("north", "collector")),
                ("south", "s", topics.committed("north")),
                ("north", "n", topics.committed("north")),
                ("south", "s", topics.invite("north", "south")),
                ("collector", "c", topics.committed("north")),
            ],
        )
    assert found == [topics.invite("north", "south"), topics.committed("north")]


async def test_the_access_rules_let_every_site_hear_who_really_claims_a_bottleneck(
    tmp_path: Path, password_file: Path
) -> None:
    extra = f"password_file {password_file}\nacl_file {CONFIG / 'mosquitto.acl'}\nuser root\n"
    with servers.mosquitto(tmp_path, extra=extra) as port:
        found = await heard(
            port,
            "north",
            "n",
            topics.ALL_CLAIMS,
            [
                ("south", "s", topics.claim("north")),
                ("collector", "c", topics.claim("south")),
                ("north", "n", topics.claim("north")),
                ("south", "s", topics.claim("south")),
            ],
        )
    assert found == [topics.claim("north"), topics.claim("south")]


async def test_the_access_rules_let_a_site_read_its_own_part_of_the_mesh_and_the_collector_alone_write_it(
    tmp_path: Path, password_file: Path
) -> None:
    extra = f"password_file {password_file}\nacl_file {CONFIG / 'mosquitto.acl'}\nuser root\n"
    with servers.mosquitto(tmp_path, extra=extra) as port:
        found = await heard(
            port,
            "north",
            "n",
            "linkweather/v1/site/#",
            [
                ("south", "s", topics.mesh("north")),
                ("north", "n", topics.part("north", 0)),
                ("collector", "c", topics.part("south", 0)),
                ("collector", "c", topics.mesh("south")),
                ("collector", "c", topics.part("north", 1)),
                ("collector", "c", topics.mesh("north")),
            ],
        )
    assert found == [topics.part("north", 1), topics.mesh("north")]
