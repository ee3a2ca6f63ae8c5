"""Every version of iperf3 gets only the options that it knows, and versions that pad the secret differently still meet.

Here an iperf3 of another version is the installed one behind a door that refuses what that version would refuse. Real
ones are tested as well: name their paths in IPERF3_PROGRAMS, separated by colons.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from linkweather.wire import ThroughputRow
from probes import probe_command
from probes.throughput.credentials import Credential, Guard, key_pair
from probes.throughput.iperf3_client import ClientTest, run_client
from probes.throughput.iperf3_output import Build, Transcript, parse_version
from probes.throughput.iperf3_program import OPTIONS, command, installed, knows, padding, pads_alike, too_old
from probes.throughput.iperf3_server import OneOffServer, ServerPlace, serve_once
from probes.throughput.stop_rule import StopRule
from tests import servers
from tests.probes.throughput import programs
from tests.probes.throughput.test_negotiation import ADDRESS, TESTS, Wire, serving, site

HERE = "127.0.0.5"
VERSIONS = ("3.1.3", "3.5", "3.9", "3.11", "3.12", "3.16", "3.17.1", "3.19.1", "3.20", "3.21")
REAL = [Path(path) for path in os.environ.get("IPERF3_PROGRAMS", "").split(os.pathsep) if path]
# Long options as they came (RELNOTES.md), and those that the version refuses at one end.
NEW = {
    "3.1.5": "--forceflush",
    "3.2": "--connect-timeout --username --rsa-public-key-path --rsa-private-key-path --authorized-users-path",
    "3.10": "--rcv-timeout --time-skew-threshold --idle-timeout",
    "3.12": "--snd-timeout",
    "3.17": "--use-pkcs1-padding",
}
SERVER_ONLY = {"--idle-timeout", "--rsa-private-key-path", "--authorized-users-path", "--time-skew-threshold"}
DOOR = """#!{python}
import os, sys
arguments = sys.argv[1:]
if "--version" in arguments:
    print("iperf {version} (cJSON 1.7.15)\\nOptional features available: CPU affinity setting, authentication")
    sys.exit()
for option in [each for each in arguments if each.startswith("--")]:
    if option not in {known}:
        print("iperf3: unrecognized option '" + option + "'\\nUsage: iperf3 [-s|-c host] [options]")
        sys.exit(1)
    if "-c" in arguments and option in {server_only}:
        print("iperf3: parameter error - some option you are trying to set is server only")
        sys.exit(1)
os.execv("{real}", ["iperf3", *[each for each in arguments if each != "--use-pkcs1-padding"]])
"""


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    servers.require("iperf3")
    yield
    assert programs.children() == []


def known_to(version: str) -> set[str]:
    came = [options.split() for new, options in NEW.items() if parse_version(version) >= parse_version(new)]
    return set(itertools.chain.from_iterable(came))


def install(folder: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an iperf3 that knows what this version knows first on the PATH."""
    server_only = SERVER_ONLY | ({"--use-pkcs1-padding"} if parse_version(version) >= (3, 20) else set())
    door = DOOR.format(
        python=sys.executable,
        version=version,
        known=known_to(version),
        server_only=server_only,
        real=servers.require("iperf3"),
    )
    (folder / "iperf3").write_text(door)
    (folder / "iperf3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def serve(build: Build, guard: Guard | None = None) -> AbstractAsyncContextManager[OneOffServer]:
    return serve_once(ServerPlace(HERE, [servers.free_port()]), build, guard=guard, seconds=20)


def build_of(version: str) -> Build:
    return Build(parse_version(version), authentication=True)


async def meet(build: Build, guard: Guard | None, credential: Credential | None) -> None:
    """Both ends of a test with this build, in both directions."""
    for reverse in (True, False):
        async with serve(build, guard) as server:
            test = ClientTest(HERE, server.port, StopRule(1.0), reverse, credential=credential)
            result = await run_client(test, build)
            assert (result.failure, result.detail) == (None, None)
            assert await server.finished() is None


@pytest.mark.parametrize("version", [each for each in VERSIONS if parse_version(each) >= (3, 1, 5)])
async def test_both_ends_of_a_version_work_with_a_secret_where_it_has_one(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = await key_pair(tmp_path / "keys")
    install(tmp_path, version, monkeypatch)
    build = await installed()
    assert build is not None
    assert str(build) == version
    assert build.authentication == (build.version >= (3, 7))
    assert too_old(build) is None
    secret = build.authentication
    guard, credential = Guard(keys, "s3cret"), Credential("s3cret", keys.public_pem)
    await meet(build, guard if secret else None, credential if secret else None)


async def test_oldest_version_calls_a_plain_server_and_takes_no_part_in_arranged_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(build_of("3.12")) as server:
        install(tmp_path, "3.1.3", monkeypatch)
        build = await installed()
        assert build is not None
        result = await run_client(ClientTest(HERE, server.port, StopRule(1.0, until_converged=True)), build)
    assert (result.failure, result.stopped_by) == (None, "time")
    problem = "iperf3 3.1.3 cannot take part in arranged throughput tests: install iperf3 3.1.5 or later"
    assert too_old(build) == problem
    assert await probe_command.usable_iperf3() == (None, problem)  # what the site's status says


@pytest.mark.skipif(not REAL, reason="needs paths of programs in IPERF3_PROGRAMS")
@pytest.mark.parametrize("path", REAL or [Path("none")], ids=str)
async def test_real_program(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = await key_pair(tmp_path / "keys")
    (tmp_path / "iperf3").symlink_to(path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    build = await installed()
    assert build is not None
    if too_old(build) is None and build.authentication:
        await meet(build, Guard(keys, "s3cret"), Credential("s3cret", keys.public_pem))
    elif too_old(build) is None:
        await meet(build, None, None)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_end_gets_only_what_its_version_knows(version: str) -> None:
    known = {
        option
        for new, options in NEW.items()
        if parse_version(version) >= parse_version(new)
        for option in options.split()
    }
    for option in OPTIONS:
        ends = [role for role in ("client", "server") if knows(build_of(version), role, option)]
        assert not ends or option in known
        assert "client" not in ends or option not in SERVER_ONLY
    assert knows(build_of(version), "client", "--use-pkcs1-padding") == ((3, 17) <= parse_version(version) < (3, 20))


def test_an_option_goes_with_its_value() -> None:
    line = command(build_of("3.9"), "client", [("-c", "h"), ("--rcv-timeout", "2000"), ("--forceflush",)])
    assert line[1:] == ["-c", "h", "--forceflush"]


def test_newer_client_cannot_show_its_secret_to_an_older_server_from_3_20_on() -> None:
    apart = [
        (server, client)
        for server, client in itertools.product(VERSIONS, VERSIONS)
        if not pads_alike(parse_version(server), parse_version(client))
    ]
    assert apart == [(server, client) for server in VERSIONS[:6] for client in ("3.20", "3.21")]


def test_only_a_newer_end_steps_back_for_an_older_one_and_a_peer_of_unknown_version_is_old() -> None:
    assert padding((3, 12), (3, 19, 1)) == ()
    assert padding((3, 17), (3, 16)) == ("--use-pkcs1-padding",)
    assert padding((3, 19, 1), (3, 17)) == ()
    assert padding((3, 19), ()) == ("--use-pkcs1-padding",)


async def test_source_calls_where_the_destination_cannot_show_its_secret_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "3.21", monkeypatch)  # the door takes padding off: the program behind it is older
    wire = Wire()
    a, b = site(wire, "a", tmp_path, build_of("3.16")), site(wire, "b", tmp_path, build_of("3.21"))
    async with serving(a, b):
        found = await b.measure("a", ADDRESS["a"], TESTS)
    assert isinstance(found, ThroughputRow)
    assert (found.failure, found.goodput_bps is not None) == (None, True)
    accepted, offer, *_ = wire.answers()
    assert (accepted.accepted, accepted.port) == (True, None)
    assert offer.port is not None
    assert offer.secret is not None


async def test_they_test_without_a_secret_where_only_the_newer_end_can_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Wire()
    a, b = site(wire, "a", tmp_path, build_of("3.12")), site(wire, "b", tmp_path, build_of("3.21"))
    mesh = a._mesh
    assert mesh
    behind = {name: each.model_copy(update={"nat": name == "b"}) for name, each in mesh.sites.items()}
    for each in (a, b):
        each.apply_mesh(mesh.model_copy(update={"sites": behind}))
    async with serving(a, b):
        found = await asyncio.wait_for(b.measure("a", ADDRESS["a"], TESTS), 90)
    assert isinstance(found, ThroughputRow)
    assert found.failure is None
    assert "its iperf3 3.21 cannot show one to our 3.12; install iperf3 3.17 or later here" in caplog.text


def test_lines_of_3_1_with_its_other_heading_are_read() -> None:
    transcript = Transcript()
    for line in (
        "[ ID] Interval           Transfer     Bandwidth       Retr",
        "[  4]   0.00-0.10   sec  1.12 MBytes  94000 Kbits/sec                  ",
        "[  4]   0.00-1.00   sec  11.4 MBytes  95600 Kbits/sec    0             sender",
        "[  4]   0.00-1.00   sec  11.3 MBytes  94900 Kbits/sec                  receiver",
    ):
        transcript.feed(line)
    assert [each.rate_bps for each in transcript.intervals] == [94e6]
    assert transcript.summaries["receiver"].rate_bps == 94.9e6
