"""The commands `place` and `capacity`: a real broker, a real collector."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fastapi import FastAPI

from collector.api.api_requests import answer_errors
from collector.api.placement_api import add_placements
from collector.placement.placement import PlacementInputs, PlannedTransfer
from linkweather.cli.root import main
from linkweather.mesh import Mesh
from linkweather.models.state import CapacityAnswer
from tests import servers
from tests.collector.api.serving import served

CONFIG = Path(__file__).parents[3] / "config"
PROGRAM = str(Path(sys.executable).with_name("linkweather"))
TWO = '[sites.a]\naddress = "192.0.2.1"\ncompute_id = "CN-1"\n\n[sites.b]\naddress = "192.0.2.2"\n'


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@dataclass(frozen=True)
class Running:
    api: str
    broker: str


@contextlib.contextmanager
def collecting(folder: Path, *more: str) -> Iterator[Running]:
    """A collector of its own process, with an embedded broker unless told otherwise; its record is in the folder."""
    (folder / "mesh.toml").write_text(TWO)
    port, broker_port = servers.free_port(), servers.free_port()
    options = ("--port", str(port), "--broker-port", str(broker_port), *more)
    with servers.running(PROGRAM, "collector", *options, log=folder / "log", cwd=folder):
        servers.wait_until(lambda: servers.responds(f"http://127.0.0.1:{port}/readyz"), "the collector is ready")
        yield Running(f"http://127.0.0.1:{port}", f"mqtt://127.0.0.1:{broker_port}")


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with collecting(tmp_path_factory.mktemp("collector")) as found:
        yield found


def test_after_a_restart_a_job_is_placed_on_what_a_site_said_before(tmp_path: Path) -> None:
    with collecting(tmp_path) as before:
        said = run("capacity", "set", "--site", "a", "--broker", before.broker, "gpu=8:2", "--queue", "90s")
        assert said.exit_code == 0
    with collecting(tmp_path) as after:
        job = ("--data", "CN-1:2TB", "--devices", "gpu:4", "--work", "4", "--json", "--api", after.api)
        answer = json.loads(run("place", *job).output)
    assert (answer["site"], answer["ranking"][0]["queue_s"], answer["done_p50_s"]) == ("a", 90, 90 + 3600)
    assert answer["ranking"][0]["capacity"][0]["free"] == 2
    assert [(site["site"], site["reason"]) for site in answer["excluded"]] == [("b", "no_capacity")]


def test_a_site_s_own_user_may_say_what_it_has_and_no_other_site_s(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    for flags, user in ((["-c", "-b"], "collector"), (["-b"], "a")):
        subprocess.run([servers.require("mosquitto_passwd"), *flags, str(passwords), user, "secret"], check=True)
    passwords.chmod(0o644)
    acl = f"password_file {passwords}\nacl_file {CONFIG / 'mosquitto.acl'}\nuser root\n"
    with servers.mosquitto(tmp_path, extra=acl) as port:
        secret = tmp_path / "secret"
        secret.write_text("secret\n", encoding="utf-8")
        secret.chmod(0o600)
        there_is = ("--broker-password-file", str(secret), "--broker")
        with collecting(tmp_path, *there_is, f"mqtt://collector@127.0.0.1:{port}") as there:
            asked = ("capacity", "set", *there_is, f"mqtt://a@127.0.0.1:{port}", "gpu=8", "--timeout")
            assert run(*asked, "20s", "--site", "a").exit_code == 0
            assert run(*asked, "1s", "--site", "b").exit_code == 1
            shown = json.loads(run("capacity", "show", "--json", "--api", there.api).output)
    assert [one["site"] for one in shown] == ["a"]


def test_data_does_not_go_where_no_link_was_measured(tmp_path: Path) -> None:
    with collecting(tmp_path) as there:
        run("capacity", "set", "--site", "b", "--broker", there.broker, "gpu=8")
        said = run("place", "--data", "a:2TB", "--devices", "gpu:4", "--work", "4", "--api", there.api)
    assert said.exit_code == 1
    assert "b cannot get the data of a: " in said.output


def test_what_a_site_says_of_its_devices_is_confirmed_and_shown(collector: Running) -> None:
    said = run(
        *("capacity", "set", "--site", "a", "--broker", collector.broker, "a100=16:4", "h100=8"),
        *("--queue", "10min", "--price", "2.5USD"),
    )
    assert (said.exit_code, said.output) == (0, "in the record: a has a100=16:4, h100=8\n")
    shown = json.loads(run("capacity", "show", "--json", "--api", collector.api).output)
    assert [(one["site"], one["compute_id"], one["type"], one["total"], one["free"]) for one in shown] == [
        ("a", "CN-1", "a100", 16, 4),
        ("a", "CN-1", "h100", 8, 8),
    ]
    assert (shown[0]["queue_s"], shown[0]["usd_per_device_hour"], shown[0]["state"]) == (600, 2.5, "fresh")
    text = run("capacity", "show", "--api", collector.api).output
    assert "a a100 16 4 10.0 min – 2.50" in " ".join(text.split())


def test_site_and_broker_may_come_from_the_probe_s_settings(collector: Running, tmp_path: Path) -> None:
    file = tmp_path / "probe.toml"
    file.write_text(f'site = "b"\nbroker = "{collector.broker}"\ndata_dir = "x"\n')
    assert run("capacity", "set", "--config", str(file), "a100=0", "--queued", "0").exit_code == 0


def test_a_site_that_the_mesh_does_not_have_is_refused(collector: Running) -> None:
    said = run("capacity", "set", "--site", "x", "--broker", collector.broker, "a100=16")
    assert (said.exit_code, said.output) == (1, "Error: the collector refuses what x says: unknown_site\n")


def test_without_a_collector_nobody_confirms(broker_port: int) -> None:
    broker = f"mqtt://127.0.0.1:{broker_port}"
    said = run("capacity", "set", "--site", "a", "--broker", broker, "a100=16", "--timeout", "0.5s")
    assert said.exit_code == 1
    assert said.output == (
        "Error: not in the record after 0.5 s: no collector confirms it: "
        "is one running, and may this user read what it says to the site?\n"
    )


def test_without_a_broker_its_own_sentence_is_said() -> None:
    broker = f"mqtt://127.0.0.1:{servers.free_port()}"
    said = run("capacity", "set", "--site", "a", "--broker", broker, "a100=16", "--timeout", "0.5s")
    assert said.exit_code == 1
    assert said.output.startswith(f"Error: not in the record after 0.5 s: the broker {broker} is away (")


NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MESH = Mesh.model_validate(tomllib.loads(TWO))
JOB = ("--data", "CN-1:1GB", "--result", "b:1MB", "--devices", "gpu:8", "--work", "8")


@pytest.fixture
async def placing() -> AsyncIterator[str]:
    """The URL of an API where 1 GB takes a second, and only a has GPUs: eight."""
    app = FastAPI()
    answer_errors(app)
    told = [CapacityAnswer(site="a", type="gpu", total=8, free=8, state="fresh", at=NOON, age_s=5.0)]

    def move(src: str, dst: str, size: int) -> PlannedTransfer:
        return PlannedTransfer(size / 1e9, size / 1e9, 0.0, (src, dst))

    add_placements(app, lambda: PlacementInputs(NOON, MESH, told, move), lambda _: None)
    async with served(app) as client:
        yield str(client.base_url)


async def ask(*arguments: str) -> Result:
    return await asyncio.to_thread(run, *arguments)


async def test_place_prints_the_ranking_the_excluded_and_one_sentence(placing: str) -> None:
    said = await ask("place", *JOB, "--api", placing)
    assert said.exit_code == 0
    lines = [" ".join(line.split()) for line in said.output.splitlines()]
    assert "a 0 0 60.0 min 1.00 ms 60.0 min 60.0 min –" in lines
    assert lines[-2] == "not b: has not reported its devices"
    assert lines[-1] == (
        "a is done soonest, after 60.0 min (p90 60.0 min): run 60.0 min, stage-out 1.00 ms, "
        "at an unknown price; no other site can run it."
    )


async def test_place_without_any_site_says_why_and_ends_with_1(placing: str) -> None:
    said = await ask("place", *JOB, "--deadline", "30min", "--api", placing)
    assert said.exit_code == 1
    assert said.output == (
        "No site can run the job: a misses the deadline of 30.0 min by 30.0 min (p90 60.0 min); "
        "b has not reported its devices.\n"
    )


async def test_place_prints_json(placing: str) -> None:
    answer = json.loads((await ask("place", *JOB, "--json", "--api", placing)).output)
    assert (answer["site"], answer["done_p50_s"], answer["excluded"][0]["reason"]) == ("a", 3600.001, "no_capacity")


async def test_several_job_files_are_placed_together(placing: str, tmp_path: Path) -> None:
    text = '[[data]]\nsite = "a"\nbytes = 1\n[[devices]]\ntype = "gpu"\ncount = 8\nwork_device_hours = {}\n'
    files = [tmp_path / f"{name}.toml" for name in ("long", "short", "late")]
    for file, (hours, deadline) in zip(files, ((80.0, ""), (8.0, ""), (8.0, "1h")), strict=True):
        limit = f'deadline_s = "{deadline}"\n' if deadline else ""
        file.write_text(f'name = "{file.stem}"\n{limit}{text.format(hours)}')
    said = await ask("place", *map(str, files[:2]), "--api", placing)
    assert said.exit_code == 0
    lines = [" ".join(line.split()) for line in said.output.splitlines()]
    assert {"long a 60.0 min 11.0 h 11.0 h", "short a 0 60.0 min 60.0 min"} <= set(lines)
    assert lines[-1].startswith("these placements: 2 jobs placed, 0 not, 12.0 h in total; first come")
    files[1].write_text(files[2].read_text())
    said = await ask("place", str(files[1]), str(files[2]), "--json", "--api", placing)
    assert (said.exit_code, json.loads(said.output)["unplaced"]) == (1, 1)


async def test_a_mistake_that_only_the_collector_can_see_is_its_sentence(placing: str) -> None:
    said = await ask("place", "--data", "x:1", "--devices", "gpu:1", "--work", "1", "--api", placing)
    assert (said.exit_code, said.output) == (2, "Error: data[0].site = 'x': no such site; the mesh has a, b\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a100=8",), "say which site of the mesh this is: give --site or --config"),
        (("--site", "a", "a100"), "'a100': must be TYPE=TOTAL or TYPE=TOTAL:FREE, such as a100=16:4"),
        (("--site", "a", "a100=x"), "'a100=x': must be TYPE=TOTAL or TYPE=TOTAL:FREE, such as a100=16:4"),
        (("--site", "a", "a100=-1"), "'a100=-1': total = -1: must be at least 0"),
        (("--site", "a", "a100=4:5"), "'a100=4:5': free <= total does not hold: 5 > 4"),
        (("--site", "a", "a100=4", "a100=5"), "the options: a type occurs twice"),
        (("--site", "a", "a100=4", "--queue", "long"), "--queue 'long': must be a duration such as 50ms, 60s or 5min"),
        (("--site", "a", "a100=4", "--price", "2EUR"), "--price '2EUR': must be a price such as 500 or 500USD"),
        (("--site", "a", "a100=4", "--queued", "nan"), "'a100=4': queued_device_hours = nan: must be a finite number"),
        (("--site", "A", "a100=4"), "the options: site = 'A': a site id has 1 to 32 of a–z, 0–9 and -, and starts"),
    ],
)
def test_what_cannot_be_said_of_devices_is_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    said = run("capacity", "set", *arguments)
    assert said.exit_code == 2
    assert said.output.startswith(f"Error: {sentence}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "the options: data: required, but missing"),
        (("--data", "2TB"), "--data '2TB': must be SITE:BYTES, such as north:2TB"),
        (
            ("--data", "a:2XB", "--devices", "g:1"),
            "the options: data[0].bytes = '2XB': must be a size in",
        ),
        (("--data", "a:1"), "the options: devices: required, but missing"),
        (("--data", "a:1", "--devices", "8"), "--devices '8': must be TYPE:N, such as a100:8"),
        (("--data", "a:1", "--devices", "g:x"), "the options: devices[0].count = 'x': must be a whole number"),
        (("--data", "a:1", "--devices", "g:1"), "the options: devices[0].work_device_hours: required, but missing"),
        (
            ("--data", "a:1", "--devices", "g:1", "--work", "nan"),
            "the options: devices[0].work_device_hours = nan: must",
        ),
        (("--devices", "g:1", "--devices", "h:1", "--work", "5"), "--work '5': must be HOURS:TYPE, once for each type"),
        (("--devices", "g:1", "--work", "5:x"), "--work '5:x': must be HOURS:TYPE, once for each type that --devices"),
        (("--devices", "g:1", "--work", "5", "--work", "6"), "--work '6': must be HOURS:TYPE, once for each type"),
        (("job.toml", "--max-price", "5"), "--max-price: give a job as a file or by options, not both"),
        (("nowhere.toml",), "nowhere.toml: cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_job_is_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    said = run("place", *arguments)
    assert said.exit_code == 2
    assert said.output.startswith(f"Error: {sentence}")


def test_a_wrong_key_of_a_job_file_is_named_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text("deadline = 5\n")
    said = run("place", str(file))
    assert (said.exit_code, said.output) == (2, f"Error: {file}: data: required, but missing\n")
