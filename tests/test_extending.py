"""docs/extending.md works: its packages are built, installed and run, and it leaves out no hook."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from inspect import isfunction
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

import aiomqtt
import pytest

from linkweather.client import Client
from linkweather.sink import ExportedRow, RowBatch, RowRefusal, Sink, SinkContext, SinkError, SinkSettings
from linkweather.wire import encode, topics
from probes.latency.prober import DatagramProber, ExchangeProber
from tests import servers
from tests.collector.report_samples import latency
from tests.collector.sinks.exporting import ScriptedServer
from tests.documents import ROOT, blocks, read, rows

PAGE = "docs/extending.md"
HERE = "127.0.0.1"


def section(heading: str) -> str:
    """A part of the document, to the next heading of its level."""
    return re.split(rf"^## {heading}$", read(PAGE), flags=re.MULTILINE)[1].split("\n## ")[0]


def package(heading: str, folder: Path) -> Path:
    """The package that a part of the document shows, as a project in `folder`."""
    text = section(heading)
    shown = [block for block in blocks() if block.path == ROOT / PAGE and block.text in text]
    (packaging,) = [block.text for block in shown if block.words == ("packaging",)]
    (source,) = [block.text for block in shown if block.language == "python"]
    project = tomllib.loads(packaging)
    tree: Path = folder / project["project"]["name"]
    tree.mkdir()
    (tree / "pyproject.toml").write_text(packaging)
    (tree / f"{project['tool']['setuptools']['py-modules'][0]}.py").write_text(source)
    return tree


def installed(heading: str, folder: Path) -> dict[str, str]:
    """The environment of a process that finds the package beside linkweather."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(folder / "packages"), str(package(heading, folder))], check=True)
    return {**os.environ, "PYTHONPATH": f"{folder / 'packages'}{os.pathsep}{ROOT}"}


def linkweather(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "linkweather", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def prober(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return installed("A prober", tmp_path_factory.mktemp("prober"))


@pytest.fixture
def greeting() -> Iterator[str]:
    """The port of a service that greets as SSH does."""

    class Greets(BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

    with ThreadingTCPServer((HERE, 0), Greets) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield str(server.server_address[1])
        server.shutdown()
        serving.join()


def test_the_prober_is_of_about_forty_lines(tmp_path: Path) -> None:
    (module,) = package("A prober", tmp_path).glob("*.py")
    assert len(module.read_text().splitlines()) <= 40


def test_the_prober_measures(prober: dict[str, str], greeting: str) -> None:
    options = ["--method", "greeting", "--option", f"port={greeting}", "--option", "starts=SSH-2.0-"]
    done = linkweather("test", HERE, "--latency", *options, "--count", "5", "--json", environment=prober)
    assert (done.returncode, done.stderr) == (0, "")
    latency = json.loads(done.stdout)["latency"]
    assert (latency["method"], latency["received"], latency["failure"]) == ("greeting", 5, None)
    assert latency["figures"]["greeting_s"] > latency["rtt_min_s"] > 0


def test_the_prober_s_failures_have_its_reasons(prober: dict[str, str], greeting: str) -> None:
    options = ["--method", "greeting", "--option", f"port={greeting}", "--option", 'starts="220 "']
    done = linkweather("test", HERE, "--latency", *options, "--count", "2", "--json", environment=prober)
    latency = json.loads(done.stdout)["latency"]
    assert (done.returncode, latency["failure"]) == (1, "bad_greeting")
    assert latency["detail"] == "SSH-2.0-OpenSSH_9.6"


def test_a_mesh_with_the_method_is_accepted_where_the_package_is_installed(
    prober: dict[str, str], tmp_path: Path
) -> None:
    (mesh,) = [block for block in blocks("toml", "mesh") if block.path == ROOT / PAGE]
    file = tmp_path / "mesh.toml"
    file.write_text(mesh.text)
    assert linkweather("mesh", "check", str(file), environment=prober).stdout.startswith(f"{file}: 2 sites, 2 links: ")
    file.write_text(mesh.text.replace("starts", "begins"))
    refused = linkweather("mesh", "check", str(file), environment=prober)
    assert (refused.returncode, refused.stderr) == (
        2,
        f"Error: {file}: sites.gw.options.begins = 'SSH-2.0-': no such key\n",
    )
    without = linkweather("mesh", "check", str(file), environment={**os.environ, "PYTHONPATH": str(ROOT)})
    assert without.returncode == 2
    assert "sites.gw.method = 'greeting': no prober is called 'greeting'; installed are http, icmp" in without.stderr


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return installed("A sink", tmp_path_factory.mktemp("sink"))


@contextlib.contextmanager
def collector(folder: Path, url: str, environment: dict[str, str]) -> Iterator[tuple[int, str]]:
    """A collector with the sink of the document, which posts to `url`; its broker's port, and its API's address."""
    broker_port, port = servers.free_port(), servers.free_port()
    (table,) = [block.text for block in blocks("toml", "sink") if block.path == ROOT / PAGE]
    posted = re.sub(r'url = ".*"', f'url = "{url}"', table).replace("linger_s = 5.0", "linger_s = 0.1")
    (folder / "collector.toml").write_text(f"broker_port = {broker_port}\n[api]\nport = {port}\n{posted}")
    (folder / "mesh.toml").write_text('[sites.a]\naddress = "192.0.2.1"\n[sites.b]\naddress = "192.0.2.2"\n')
    command = [sys.executable, "-m", "linkweather", "collector", "--config", "collector.toml"]
    with servers.running(*command, log=folder / "log", cwd=folder, environment=environment):
        servers.wait_until(lambda: servers.responds(f"http://{HERE}:{port}/readyz"), "the collector is ready")
        yield broker_port, f"http://{HERE}:{port}"


def test_the_sink_is_of_about_forty_lines(tmp_path: Path) -> None:
    (module,) = package("A sink", tmp_path).glob("*.py")
    assert len(module.read_text().splitlines()) <= 44


async def test_a_collector_with_the_sink_posts_what_it_commits(sink: dict[str, str], tmp_path: Path) -> None:
    answers = iter([503, 204])
    with (
        ScriptedServer(lambda _: (next(answers), {}, b"")) as server,
        collector(tmp_path, f"http://{HERE}:{server.port}/rows", sink) as (broker_port, api),
    ):
        async with aiomqtt.Client(HERE, broker_port, protocol=aiomqtt.ProtocolVersion.V5) as site:
            await site.publish(topics.report("a", "latency"), encode(latency(1)), qos=1)

        def exported(client: Client) -> bool:
            (answer,) = client.sinks()
            return (answer.kind, answer.exported_rows, answer.state) == ("jsonlines", 1, "running")

        with Client(api) as client:
            await asyncio.to_thread(servers.wait_until, lambda: exported(client), "the row is posted")
        assert [json.loads(body)["rtt_p50_s"] for body in server.bodies] == [0.001] * 2
        shown = linkweather("archive", "list", "--api", api, environment=sink)
        assert re.search(r"lines +jsonlines +running +0 +1 +0 +0", shown.stdout)


def test_a_key_that_the_sink_does_not_know_is_refused(sink: dict[str, str], tmp_path: Path) -> None:
    (table,) = [block.text for block in blocks("toml", "sink") if block.path == ROOT / PAGE]
    file = tmp_path / "collector.toml"
    file.write_text(table.replace("url", "uri"))
    refused = linkweather("collector", "--config", str(file), environment=sink)
    assert (refused.returncode, refused.stderr) == (2, f"Error: {file}: sinks.lines.url: required, but missing\n")
    without = linkweather("collector", "--config", str(file), environment={**os.environ, "PYTHONPATH": str(ROOT)})
    sentence = "sinks.lines.kind = 'jsonlines': must be 'influx', 'mqtt' or 'parquet'"
    assert (without.returncode, without.stderr) == (2, f"Error: {file}: {sentence}\n")


def test_every_hook_of_a_sink_is_in_the_document_and_no_other() -> None:
    text = section("A sink")
    named = {name.partition("(")[0] for row in rows(text) for name in re.findall(r"`([^`]+)`", row[0])}
    own = {name for name, hook in vars(SinkSettings).items() if isfunction(hook) and not name.startswith("_")}
    given = {field.name for field in dataclasses.fields(SinkContext)}
    assert named == hooks(Sink, RowBatch) | own | set(SinkSettings.model_fields) | given | {"len"}
    for result in (ExportedRow, RowRefusal):
        assert {field.name for field in dataclasses.fields(result)} <= set(re.findall(r"\w+", text))
    errors = {error.__name__ for error in SinkError.__subclasses__() if error.__module__ == SinkError.__module__}
    assert errors <= set(re.findall(r"\w+", text))


def hooks(*protocols: type) -> set[str]:
    """What a Protocol asks for, its own and inherited."""
    return {name for each in protocols for base in each.__mro__ for name in vars(base) if not name.startswith("_")}


@pytest.mark.parametrize(("heading", "protocols"), [("A prober", (DatagramProber, ExchangeProber))])
def test_every_hook_is_in_the_document_and_no_other(heading: str, protocols: tuple[type, ...]) -> None:
    tables = [row for row in rows(section(heading)) if row[0].startswith("`")]
    assert {re.split(r"[`(]", row[0])[1] for row in tables} == hooks(*protocols)
