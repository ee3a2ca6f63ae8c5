"""`linkweather test` and `linkweather reflector` as a user starts them: real processes, real peers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from linkweather.errors import OperatorError
from probes.latency.icmp import IcmpProber
from probes.latency.reflector import Reflector
from tests import servers
from tests.probes.latency.test_http import site

COMMAND = (sys.executable, "-c", "from linkweather.cli.root import main; main()")
HERE = "127.0.0.1"
LIMIT_S = 90.0
SHORT = ("--duration", "1", "--json")
QUICK = ("--interval", "0.01", "--count", "20")
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def no_echo() -> str:
    """Why this user may not send ICMP echo requests here."""
    try:
        IcmpProber().open(socket.AF_INET, HERE).close()
    except OperatorError as error:
        return str(error)
    return ""


needs_echo = pytest.mark.skipif(bool(no_echo()), reason=no_echo() or "ICMP is allowed")


def run(*arguments: str, through: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    command = [*through, *COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def measured(*arguments: str, status: int = 0) -> dict[str, Any]:
    done = run("test", *arguments, "--json")
    assert (done.returncode, done.stderr) == (status, "")
    values: dict[str, Any] = json.loads(done.stdout)
    return values


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def reflector(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    port = str(servers.free_port(socket.SOCK_DGRAM))
    with started("reflector", "--bind", HERE, "--port", port, *arguments) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"Reflector at UDP port {port} of {HERE} ")
        yield process, port


@contextlib.contextmanager
def terminal(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], bytes]]]:
    """A command on a pseudo-terminal of 80 columns, and what it has shown so far."""
    leader, follower = pty.openpty()
    seen = bytearray()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(follower)

    def shown() -> bytes:
        while select.select([leader], [], [], 0.05)[0]:
            try:
                seen.extend(os.read(leader, 65536))
            except OSError:
                break  # EIO: nobody writes any more
        return bytes(seen)

    try:
        yield process, shown
    finally:
        process.kill()
        process.wait()
        os.close(leader)


@pytest.fixture
def iperf3_port(tmp_path: Path) -> Iterator[str]:
    port = servers.free_port()
    with servers.running(
        servers.require("iperf3"), "-s", "-p", str(port), "-B", HERE, "--forceflush", log=tmp_path / "iperf3.log"
    ):
        # An idle connection hangs a server of 3.12: read what it says instead of knocking.
        servers.wait_until(lambda: "listening" in (tmp_path / "iperf3.log").read_text(), "iperf3 listens")
        yield str(port)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("0123456789abcdef" * 4 + "\n")
    path.chmod(0o600)
    return path


def test_a_site_with_a_reflector_is_measured_by_stamp() -> None:
    with reflector() as (process, port):
        latency = measured(HERE, "--latency", "--port", port, *QUICK)["latency"]
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=LIMIT_S)
    assert (latency["method"], latency["sent"], latency["received"]) == ("stamp", 20, 20)
    assert (latency["lost_forward"], latency["lost_back"], latency["failure"]) == (0, 0, None)
    assert 0 < latency["rtt_min_s"] <= latency["rtt_p50_s"] <= latency["rtt_max_s"]
    assert len(latency["rtts_s"]) == 20
    assert latency["timestamp"] == "kernel"
    # The trial's probes and the 20.
    assert said.startswith("Answered 2")
    assert "dropped 0" in said
    assert process.returncode == 0


def test_a_shared_key_authenticates_and_a_wrong_one_is_silence(key_file: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("f" * 64)
    wrong.chmod(0o600)
    with reflector("--key-file", str(key_file), "--stateless") as (process, port):
        common = (HERE, "--latency", "--method", "stamp", "--port", port, "--interval", "0.01", "--timeout", "0.2")
        right = measured(*common, "--count", "5", "--key-file", str(key_file))
        assert right["latency"]["received"] == 5
        silent = measured(*common, "--count", "3", "--key-file", str(wrong), status=1)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=LIMIT_S)
    assert (silent["latency"]["received"], silent["latency"]["failure"]) == (0, "no_reply")
    assert silent["latency"]["attempts"][0]["outcome"] == (
        f"no reflector answers at UDP port {port} (one with another key drops our probes in silence, and logs them)"
    )
    assert said == (
        "Answered 5 probes, dropped 3: 3 bad_hmac\n"
        f"Dropped since the last line about it: 3 from {HERE} failed authentication (another key, or none?)\n"
    )


def test_a_reflector_without_our_key_is_named_for_one(key_file: Path) -> None:
    with reflector() as (_, port):
        common = (HERE, "--latency", "--method", "stamp", "--port", port, "--timeout", "0.2", *QUICK)
        found = measured(*common, "--key-file", str(key_file), status=1)["latency"]
        done = run("test", *common, "--key-file", str(key_file))
    sentence = "a reflector answers, but not with our key: it has another one, or none"
    assert (found["failure"], found["detail"]) == ("wrong_key", sentence)
    assert " ".join(done.stdout.split()) == (
        f"Latency to {HERE}: no reply that is a result tried STAMP: {sentence}, at port {port}"
    )


def test_a_reflector_answers_whom_it_is_told_to_and_says_what_it_dropped_and_flagged() -> None:
    with (
        reflector("--allow", "127.0.0.0/31", "--allow", "192.0.2.0/24") as (process, port),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
    ):
        stranger.bind(("127.0.0.2", 0))
        stranger.sendto(bytes(44), (HERE, int(port)))
        peer.settimeout(LIMIT_S)
        for request, length in ((bytes(14), 41), (bytes(44), 44), (bytes(44) + b"\x80\x02\0\0", 48)):
            peer.sendto(request, (HERE, int(port)))
            assert len(peer.recv(2048)) == length
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=LIMIT_S)
    assert said == (
        "Answered 3 probes (1 tlv_unrecognised), dropped 1: 1 not_allowed\n"
        "Dropped since the last line about it: 1 from 127.0.0.2 came from no allowed prefix\n"
    )


def test_a_prefix_that_is_none_is_the_users_to_mend() -> None:
    done = run("reflector", "--allow", "192.0.2.1/24")
    assert done.returncode == 2
    assert "192.0.2.1/24 has host bits set: name prefixes such as 192.0.2.0/24" in done.stderr


@needs_echo
def test_another_host_is_measured_by_icmp_echo_and_the_summary_says_why() -> None:
    port = str(servers.free_port(socket.SOCK_DGRAM))
    done = run("test", HERE, "--latency", "--port", port, *QUICK)
    assert done.returncode == 0
    because = f"ICMP echo, as no reflector answers at UDP port {port} (refused)"
    assert done.stdout.startswith(f"Latency to {HERE}\n  method   {because}\n  RTT      min ")
    assert "\n  loss     0 of 20\n" in done.stdout


def test_without_a_terminal_there_are_no_escape_codes_and_80_columns_are_enough() -> None:
    done = run("test", HERE, "--latency", *QUICK)
    assert "\x1b" not in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_throughput_against_a_real_iperf3_server(iperf3_port: str) -> None:
    common = (
        "test",
        HERE,
        "--throughput",
        "--iperf3-port",
        iperf3_port,
        "--duration",
        "1",
        "--json",
        "--no-until-converged",
    )
    for way, direction in (("--reverse", "reverse"), ("--forward", "forward")):
        done = run(*common, way)
        values = json.loads(done.stdout)
        throughput = values["throughput"]
        assert (done.returncode, values["latency"], throughput["direction"]) == (0, None, direction)
        assert throughput["goodput_bps"] > 1e6
        assert throughput["bytes"] > 1e5
        assert 8 <= len(throughput["intervals_bps"]) <= 11


@needs_echo
def test_several_hosts_stand_side_by_side_and_a_failing_one_stops_nobody(tmp_path: Path) -> None:
    done = run("test", "no-such-host.invalid", HERE, "127.0.0.2", "--latency", "--save", str(tmp_path / "file"), *QUICK)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:4]] == [
        ["host", "method"],
        ["no-such-host.invalid", "–"],
        [HERE, "ICMP"],
        ["127.0.0.2", "ICMP"],
    ]
    assert lines[4:] == ["", lines[5]]
    assert lines[5].startswith("no-such-host.invalid has no address: ")
    tests = json.loads((tmp_path / "file").read_text())["tests"]
    assert [test["host"] for test in tests] == ["no-such-host.invalid", HERE, "127.0.0.2"]
    assert (tests[0]["failure"], tests[2]["latency"]["received"]) == ("unresolved", 20)


@needs_echo
def test_a_saved_test_is_compared_with_a_later_one(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    quick = ("--latency", "--method", "icmp", *QUICK)
    assert run("test", HERE, *quick, "--save", path).returncode == 0
    later = run("test", HERE, *quick, "--against", path)
    assert (later.returncode, later.stderr) == (0, "")
    heading, *changes = later.stdout.partition("\n\nChanges at ")[2].splitlines()
    assert heading.startswith(f"{HERE} since 20")
    assert changes[0].startswith("  RTT p50 ")
    assert changes[-1] == "  loss 0 of 20 → 0 of 20: within noise (p = 1)"
    # The same file is read, then replaced.
    both = measured(HERE, "127.0.0.2", *quick, "--against", path, "--save", path)
    assert [len(test["changes"]) for test in both["tests"]] == [2, 1]
    assert both["tests"][1]["changes"][0]["text"] == "no earlier test of this host"
    assert "127.0.0.2" in (tmp_path / "file").read_text()


def test_both_directions_one_after_the_other(iperf3_port: str) -> None:
    done = run("test", HERE, "--throughput", "--bidir", "--streams", "2", "--iperf3-port", iperf3_port, *SHORT)
    values = json.loads(done.stdout)
    first, second = values["throughput"], values["throughput_opposite"]
    assert (done.returncode, first["failure"], second["failure"]) == (0, None, None)
    assert (first["direction"], second["direction"]) == ("reverse", "forward")
    assert (first["streams"], second["streams"]) == (2, 2)


def test_udp_has_a_rate_of_all_streams_and_counts_datagrams(iperf3_port: str) -> None:
    udp = ("--udp", "--rate", "8M", "--streams", "2")
    values = json.loads(run("test", HERE, "--throughput", *udp, "--iperf3-port", iperf3_port, *SHORT).stdout)
    assert values["throughput"]["goodput_bps"] == pytest.approx(8e6, rel=0.25)
    assert values["throughput"]["datagrams"]["sent"] > 0


def test_a_congestion_control_that_is_not_there_is_a_failure_in_its_words(iperf3_port: str) -> None:
    done = run("test", HERE, *QUICK, "--congestion", "nonsense", "--iperf3-port", iperf3_port, *SHORT)
    values = json.loads(done.stdout)
    assert (done.returncode, values["latency"]["received"], values["throughput"]["failure"]) == (1, 20, "protocol")
    assert "TCP_CONGESTION" in values["throughput"]["detail"]


def test_both_halves_in_one_summary(iperf3_port: str) -> None:
    done = run("test", HERE, *QUICK, "--iperf3-port", iperf3_port, "--duration", "1")
    assert done.returncode == 0
    assert f"Latency to {HERE}\n" in done.stdout
    assert f"\n\nGoodput from {HERE} to here\n  method   iperf3 at TCP port {iperf3_port}\n  goodput  " in done.stdout


def test_without_an_iperf3_server_only_an_asked_for_throughput_fails() -> None:
    port = str(servers.free_port())
    sentence = f"not measured\n  reason   no iperf3 server at {HERE}:{port}: run `iperf3 -s` there\n"
    casual = run("test", HERE, *QUICK, "--iperf3-port", port)
    asked = run("test", HERE, "--throughput", "--iperf3-port", port)
    assert (casual.returncode, casual.stdout.endswith(sentence)) == (0, True)
    assert (asked.returncode, asked.stdout.endswith(sentence)) == (1, True)


def test_tcp_connect_time_to_a_port_that_listens_or_refuses() -> None:
    with socket.create_server((HERE, 0)) as server:
        port = str(server.getsockname()[1])
        listening = measured(HERE, "--method", "tcp", "--latency", "--port", port, *QUICK)["latency"]
    refusing = measured(HERE, "--method", "tcp", "--latency", "--tcp-port", port, *QUICK)["latency"]
    assert (listening["method"], listening["received"], listening["detail"]) == ("tcp", 20, None)
    assert (refusing["method"], refusing["received"]) == ("tcp", 20)
    assert refusing["detail"] == "the port refuses connections, and each refusal (RST) is a reply"


def test_a_url_is_asked_for_and_each_step_shown() -> None:
    with site() as (port, _):
        url = f"http://{HERE}:{port}"
        asked = [HERE, "--latency", "--method", "http", "--count", "3", "--interval", "0.02"]
        found = measured(*asked, "--url", f"{url}/health")["latency"]
        shown = run("test", *asked, "--url", f"{url}/health").stdout
        failed = run("test", *asked, "--option", f"url={url}/broken")
    assert (found["method"], found["received"], found["figures"]["status"]) == ("http", 3, 200)
    assert f"  method   HTTP at port {port}: the server answers\n" in shown
    assert re.search(r"  figures  connect \S+ µs, first byte \S+ \S+, status 200\n", shown)
    assert failed.returncode == 1
    assert failed.stdout.splitlines()[:2] == [
        f"Latency to {HERE}: failed",
        f"  tried    HTTP: no good answer from TCP port {port} (server_error: HTTP status",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--method", "smoke"], "'smoke' is no installed method: auto, http, icmp, stamp, tcp."),
        (["--url", "https://a.example.org/"], "--url and --option are a method's own: name it with --method"),
        (["--method", "http", "--option", "url"], "'url' is not NAME=VALUE."),
        (
            ["--method", "tcp", "--url", "https://a.example.org/"],
            "--method tcp: url = 'https://a.example.org/': no",
        ),
        (["--method", "http", "--option", "verb=POST"], "--method http: verb = 'POST': must be 'HEAD' or 'GET'"),
    ],
)
def test_a_method_or_an_option_that_does_not_exist_is_named(arguments: list[str], sentence: str) -> None:
    done = run("test", HERE, "--latency", *arguments)
    assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr


def test_no_reply_at_all_is_a_failure_that_says_what_was_tried() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((HERE, 0))
        port = str(silent.getsockname()[1])
        done = run("test", HERE, "--latency", "--method", "stamp", "--port", port, "--timeout", "0.1", *QUICK)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == (
        f"Latency to {HERE}: no reply at all\n  tried    STAMP: no reflector answers at UDP port {port}\n"
    )


@pytest.mark.root
@root
def test_a_host_that_cannot_be_reached_is_tried_by_every_method() -> None:
    done = run("test", "192.0.2.1", through=("unshare", "--net"))
    assert done.returncode == 1
    assert done.stdout.startswith(
        "Latency to 192.0.2.1: no reply at all\n"
        "  tried    STAMP: no reflector answers at UDP port 8620 (unreachable)\n"
        "           ICMP echo: no echo reply comes (unreachable)\n"
        "           TCP connect time: nothing answers at TCP port 443 (unreachable)\n"
    )


def test_an_unresolvable_host_is_one_sentence() -> None:
    done = run("test", "no-such-host.invalid")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: no-such-host.invalid has no address: ")
    assert done.stderr.count("\n") == 1
    document = measured("no-such-host.invalid", status=1)
    assert (document["host"], document["failure"]) == ("no-such-host.invalid", "unresolved")


def test_a_label_that_cannot_be_a_host_name_is_unresolved_too() -> None:
    done = run("test", "a" * 70)
    assert (done.returncode, done.stderr.startswith("Error: aaaa")) == (1, True)


async def test_ctrl_c_prints_what_was_measured_until_then() -> None:
    answering = Reflector(0, bind=[HERE])
    port = str(answering.port)
    async with asyncio.TaskGroup() as group:
        answers = group.create_task(answering.run(), name="reflector")
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "test", HERE, "--count", "100000", "--port", port, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(LIMIT_S):
            while answering.answered < 8:  # noqa: ASYNC110 - a counter tells nobody
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGINT)
            said, _ = await process.communicate()
        answers.cancel()
    text = said.decode()
    assert process.returncode == 0
    assert text.startswith(f"Latency to {HERE}\n  method   STAMP at UDP port {port}: a reflector answers there\n")
    assert "\n  loss     0 of " in text
    assert text.endswith("\n\nInterrupted: this is what was measured until then.\n")


async def test_the_latency_of_several_hosts_is_measured_at_the_same_time() -> None:
    answering = Reflector(0)
    async with asyncio.TaskGroup() as group:
        answers = group.create_task(answering.run(), name="reflector")
        both = ("127.0.0.2", "127.0.0.3")
        endless = ("--latency", "--count", "1000000", "--port", str(answering.port), "--interval", "0.01", "--json")
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "test", *both, *endless, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(LIMIT_S):
            # A trial's session and that of the test for each: without an end, one host would never come after another.
            while len(answering._responder._counts) < 4 or answering.answered < 40:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGINT)
            said, _ = await process.communicate()
        answers.cancel()
    tests = json.loads(said)["tests"]
    assert [(test["host"], test["interrupted"]) for test in tests] == [(host, True) for host in both]
    assert all(test["latency"]["received"] > 0 and test["latency"]["failure"] is None for test in tests)


def test_what_this_machine_lacks_is_one_sentence_also_for_several_hosts(tmp_path: Path) -> None:
    port = str(servers.free_port())
    lacking = ("--throughput", "--iperf3-port", port)
    env = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(
        [*COMMAND, "test", HERE, "127.0.0.2", *lacking],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=env,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "iperf3" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_ctrl_c_does_not_wait_for_replies() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((HERE, 0))
        silent.settimeout(LIMIT_S)
        port = str(silent.getsockname()[1])
        with started("test", HERE, "--latency", "--method", "stamp", "--port", port, "--timeout", "60") as process:
            silent.recv(2048)

            def gone() -> bool:
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=2)
                return process.returncode is not None

            servers.wait_until(gone, "the test is aborted")
            said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1
    assert said.strip() == "Aborted!"


def test_ctrl_c_during_throughput_keeps_its_intervals(iperf3_port: str) -> None:
    arguments = ("test", HERE, "--throughput", "--iperf3-port", iperf3_port, "--duration", "60", "--no-until-converged")
    with terminal(*arguments) as (process, shown):
        while b"Mbit/s" not in shown() and b"Gbit/s" not in shown():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=LIMIT_S) == 0
        text = shown().decode()
    assert f"Goodput from {HERE} to here\r\n  method   iperf3 at TCP port {iperf3_port}\r\n  goodput  " in text
    assert text.rstrip().endswith("Interrupted: this is what was measured until then.")


def test_a_terminal_shows_the_test_live() -> None:
    with (
        reflector() as (_, port),
        terminal("test", HERE, "--latency", "--port", port, "--count", "15") as (process, shown),
    ):
        assert process.wait(timeout=LIMIT_S) == 0
        text = shown().decode()
    assert " of 15, 0 lost; RTT now " in text
    assert "\x1b[" in text
    assert f"Latency to {HERE}\r\n  method   STAMP at UDP port {port}" in text


def test_a_terminal_shows_several_hosts_at_once() -> None:
    with (
        reflector() as (_, port),
        terminal("test", HERE, "localhost", "--latency", "-4", "--port", port, "--count", "15") as (process, shown),
    ):
        assert process.wait(timeout=LIMIT_S) == 0
        text = shown().decode()
    shown_at = text.index(" of 15, 0 lost; RTT now ")
    assert "localhost" not in text[text.rindex(HERE, 0, shown_at) : shown_at]
    assert shown_at < text.index("localhost", shown_at) < text.rindex("host ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("test", HERE, "--count", "0"), "Invalid value for '--count': 0 is not in the range"),
        (("test", HERE, "--interval", "-1"), "--interval '-1': must be a duration such as 50ms, 60s or 5min"),
        (("test", HERE, "--interval", "0.0001"), "--interval '0.0001': must be from 1.00 ms to 60.0 min"),
        (("test", HERE, "--timeout", "nan"), "--timeout 'nan': must be a duration such as 50ms, 60s or 5min"),
        (("test", HERE, "--key-file", "/nowhere"), "key file /nowhere: cannot be read: No such file or directory"),
        (("test", HERE, "--rate", "1M"), "--rate is that of --udp: give both, or neither"),
        (("test", HERE, "--udp", "--congestion", "bbr"), "--congestion is TCP's: leave it out with --udp"),
        (("test", HERE, "--bidir", "--reverse"), "--bidir tests both directions: leave out --reverse and --forward"),
        (("test", HERE, "-4", "-6"), "-4 and -6 exclude each other: leave one out"),
        (
            ("test", HERE, "--latency", "--udp", "--streams", "2"),
            "--latency measures no throughput: leave out --streams",
        ),
        (("test", HERE, "--throughput", "--count", "3"), "--throughput measures no latency: leave out --count"),
        (("test", HERE, "--path", "--count", "3"), "--path traces the path and measures nothing else: leave out"),
        (("test", HERE, "--udp", "--rate", "fast"), "--rate 'fast': must be a rate in bit/s such as 100M or 1e8"),
        (("test", HERE, "--udp", "--rate", "1"), "--rate '1': must be from 1.00 kbit/s to 100 Gbit/s"),
        (("test", HERE, "--against", "/nowhere"), "/nowhere: cannot be read: No such file or directory"),
        (("test", HERE, "--against", "/proc/self/stat"), "/proc/self/stat: was not written by --save: it is no JSON"),
        (("test", HERE, "--save", "/nowhere/file"), "/nowhere/file: cannot be written: name a file in a folder"),
        (("test", HERE, HERE, "--path"), "--path traces one host at a time: name one"),
        (("test", HERE, "--path", "--save", "x"), "--path is neither saved nor compared: leave out --save"),
        (("test", HERE, "--streams", "0"), "Invalid value for '--streams': 0 is not in the range"),
        (("test",), "Missing argument 'HOST…'."),
        (("reflector", "--port", "0"), "Invalid value for '--port': 0 is not in the range"),
        (("reflector", "--bind", "here"), "bind = 'here': must be an IPv4 or IPv6 address of this machine"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(arguments: tuple[str, ...], sentence: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Error: {sentence}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_that_others_may_read_is_refused(key_file: Path) -> None:
    key_file.chmod(0o644)
    done = run("reflector", "--key-file", str(key_file))
    assert done.returncode == 2
    assert done.stderr == f"Error: key file {key_file}: must be its owner's alone: run `chmod 600 {key_file}`\n"


def test_a_taken_port_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind((HERE, 0))
        port = holder.getsockname()[1]
        done = run("reflector", "--bind", HERE, "--port", str(port))
    assert done.returncode == 2
    assert f"Error: UDP port {HERE}:{port} is taken" in done.stderr


@pytest.mark.root
@root
def test_a_privileged_port_needs_privileges() -> None:
    unprivileged = ("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service")
    done = run("reflector", "--bind", HERE, "--port", "862", through=unprivileged)
    assert done.returncode == 2
    assert done.stderr == f"Error: UDP port {HERE}:862 needs privileges: choose one above 1023\n"


def test_the_help_imports_nothing_heavy() -> None:
    heavy = "{'asyncio', 'pydantic', 'rich', 'scapy'}"
    code = f"import sys, probes.adhoc.adhoc_commands; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert done.stdout == "[]\n"
