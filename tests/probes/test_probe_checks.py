"""`linkweather doctor --probe` at machines with ailments that tests make."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import aiomqtt
import pytest
from click.testing import CliRunner, Result

from linkweather.cli.machine_readings import read_folder
from linkweather.cli.root import main
from linkweather.mesh import Mesh
from linkweather.mesh.site_mesh import site_mesh
from probes.probe_checks import check
from tests import servers

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
Written = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path, broker_port: int) -> Written:
    """Writes a probe.toml; `more` are further lines of it."""

    def write(more: str = "", broker: str = f"mqtt://127.0.0.1:{broker_port}") -> Path:
        (tmp_path / "data").mkdir(exist_ok=True)
        path = tmp_path / "probe.toml"
        named = f'broker = "{broker}"\n' if broker else ""
        path.write_text(f'site = "gz"\n{named}data_dir = "{tmp_path}/data"\nbind = ["127.0.0.1"]\n{more}', "utf-8")
        return path

    return write


def _mesh(path: Path, port: int, address: str = "127.0.0.1", latency: str = "") -> None:
    """The mesh of the probe's last run."""
    sites = {"gz": {"address": "127.0.0.1", "port": port}, "cc": {"address": address, "port": 9}}
    values = {"name": "m", "sites": sites, "latency": json.loads(latency or "{}")}
    mesh = site_mesh(Mesh.model_validate(values), "gz")
    (path.parent / "data" / "mesh.json").write_text(mesh.model_dump_json(), "utf-8")


def _what(config: Path) -> list[str]:
    """What is found, but for what is so at the machine of the tests."""
    of_machine = ("clock", "trace paths", "kernel stamps no")
    return [one.what for one in check(config) if not any(word in one.what for word in of_machine)]


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *arguments])


def test_a_machine_without_ailments(written: Written) -> None:
    config = written()
    _mesh(config, servers.free_port())
    assert _what(config) == []


def test_a_port_that_another_program_holds_is_named_with_the_program(written: Written) -> None:
    config = written()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        _mesh(config, port := taken.getsockname()[1])
        (what,) = _what(config)
    assert f"UDP port 127.0.0.1:{port} is taken by `" in what
    assert "python" in what or "pytest" in what


def test_throughput_ports_that_are_all_taken(written: Written) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = written(f"throughput_ports = [{port}, {port}]")
        _mesh(config, servers.free_port())
        (what,) = _what(config)
    assert f"TCP port 127.0.0.1:{port} is taken" in what


def test_a_broker_that_refuses_the_password(tmp_path: Path, written: Written) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run([servers.require("mosquitto_passwd"), "-b", "-c", passwords, "gz", "right"], check=True)
    passwords.chmod(0o644)
    with servers.mosquitto(tmp_path, extra=f"password_file {passwords}\nuser root\n") as port:
        passwords.with_name("wrong").write_text("wrong")
        passwords.with_name("wrong").chmod(0o600)
        table = f'[broker]\nurl = "mqtt://gz@127.0.0.1:{port}"\npassword_file = "{tmp_path}/wrong"'
        config = written(table, broker="")
        _mesh(config, servers.free_port())
        (what,) = _what(config)
    assert "refuses us" in what
    assert "wrong" not in what


def test_a_broker_that_is_away_and_one_without_an_address(written: Written) -> None:
    config = written(broker=f"mqtt://127.0.0.1:{servers.free_port()}")
    _mesh(config, servers.free_port())
    assert "is away" in _what(config)[0]
    assert "is not resolved" in _what(written(broker="mqtt://no.invalid"))[0]


async def test_a_running_probe_keeps_its_connection(written: Written, broker_port: int) -> None:
    config = written()
    async with aiomqtt.Client("127.0.0.1", broker_port, identifier="linkweather-gz") as probe:
        await asyncio.to_thread(check, config)
        await probe.publish("still/here", qos=1)


def test_a_site_without_iperf3(written: Written, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = written()
    _mesh(config, servers.free_port())
    monkeypatch.setenv("PATH", str(tmp_path))
    (what,) = _what(config)
    assert "iperf3 is missing" in what


def test_a_key_file_that_others_read_and_none_where_the_mesh_asks_for_one(written: Written, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("0" * 64, "utf-8")
    key.chmod(0o644)
    config = written(f'key_file = "{key}"')
    _mesh(config, servers.free_port(), latency='{"authenticated": true}')
    assert [what.partition(":")[0] for what in _what(config)] == [f"key file {key}"]
    assert "name no `key_file`" in _what(written())[0]


def test_a_peer_whose_address_is_not_resolved(written: Written) -> None:
    config = written()
    _mesh(config, servers.free_port(), address="no.invalid")
    assert _what(config) == ["addresses of 1 peer are not resolved (cc)"]


def test_an_address_that_this_machine_has_not(written: Written) -> None:
    config = written()
    config.write_text(config.read_text("utf-8").replace("127.0.0.1", "192.0.2.1", -1), "utf-8")
    assert any("192.0.2.1" in what and "no address of this machine" in what for what in _what(config))


def test_a_data_folder_that_is_a_file(written: Written, tmp_path: Path) -> None:
    config = written()
    (tmp_path / "data").rmdir()
    (tmp_path / "data").write_text("", "utf-8")
    assert any("nothing can be written" in what for what in _what(config))


def test_a_folder_that_is_not_there_yet_is_that_in_which_it_is_made(tmp_path: Path) -> None:
    reading = read_folder(tmp_path / "to" / "come")
    assert (reading.path, reading.error) == (str(tmp_path), None)


@needs_root
def test_a_folder_of_another_user_takes_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    os.seteuid(65534)
    try:
        reading = read_folder(tmp_path)
    finally:
        os.seteuid(0)
    assert reading.error is not None
    assert reading.error.strerror == "Permission denied"


@needs_root
def test_a_file_that_a_run_as_root_left_is_named(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite").write_text("", "utf-8")
    os.chown(tmp_path, 65534, 65534)
    assert read_folder(tmp_path).foreign == ("outbox.sqlite",)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@needs_root
def test_a_full_disk(small_disk: Path) -> None:
    (small_disk / "full").write_bytes(bytes(60_000))
    error = read_folder(small_disk).error
    assert error is not None
    assert error.strerror == "No space left on device"


def test_the_command_prints_what_to_do_and_says_by_its_status_whether_there_is_something(written: Written) -> None:
    config = written(broker=f"mqtt://127.0.0.1:{servers.free_port()}")
    result = _run("--probe", str(config), "--json")
    assert result.exit_code == 1
    assert {"subject", "what", "todo"} == set(json.loads(result.output)[0])
    assert "is away" in result.output


def test_wrong_settings_and_a_site_beside_them_are_bad_usage(tmp_path: Path) -> None:
    config = tmp_path / "probe.toml"
    config.write_text("sight = 1", "utf-8")
    result = _run("--probe", str(config))
    assert (result.exit_code, result.output) == (2, f"Error: {config}: site: required, but missing\n")
    assert _run("gz", "--probe", str(config)).exit_code == 2
