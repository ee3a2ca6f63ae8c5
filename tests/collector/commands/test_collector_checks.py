"""`linkweather doctor --collector` at machines with ailments that tests make."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from collector.commands.collector_checks import check
from linkweather.cli.root import main
from tests import servers


def _written(folder: Path, broker: str = "embedded", port: int | None = None, broker_port: int | None = None) -> Path:
    (folder / "mesh.toml").write_text('name = "m"\n[sites.a]\naddress = "127.0.0.1"\n', "utf-8")
    path = folder / "collector.toml"
    path.write_text(
        f'broker = "{broker}"\nbroker_port = {broker_port or servers.free_port()}\n'
        f"[api]\nport = {port or servers.free_port()}\n",
        "utf-8",
    )
    return path


def _what(config: Path) -> list[str]:
    """What is found, but for what is so at the machine of the tests."""
    return [one.what for one in check(config) if "memory" not in one.what and "are left in" not in one.what]


def test_a_machine_without_ailments(tmp_path: Path, broker_port: int) -> None:
    assert _what(_written(tmp_path)) == []
    assert _what(_written(tmp_path, f"mqtt://127.0.0.1:{broker_port}")) == []


def test_the_embedded_broker_may_run_already(tmp_path: Path) -> None:
    with servers.mosquitto(tmp_path, extra="user root\n") as port:  # as the collector starts it: its own user
        assert _what(_written(tmp_path, broker_port=port)) == []


def test_a_taken_port_of_the_api(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (what,) = _what(_written(tmp_path, port=port))
    assert f"TCP port 127.0.0.1:{port} is taken by `" in what


def test_no_mosquitto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.ingest.embedded_broker.shutil.which", lambda *_, **__: None)
    (what,) = _what(_written(tmp_path))
    assert "mosquitto is missing" in what


def test_a_broker_that_is_away(tmp_path: Path) -> None:
    (what,) = _what(_written(tmp_path, f"mqtt://127.0.0.1:{servers.free_port()}"))
    assert "is away" in what


def test_a_mesh_that_is_missing_is_wrong_settings(tmp_path: Path) -> None:
    config = _written(tmp_path)
    (tmp_path / "mesh.toml").unlink()
    result = CliRunner().invoke(main, ["doctor", "--collector", str(config)])
    assert result.exit_code == 2
    assert "mesh.toml: cannot be read" in result.output
