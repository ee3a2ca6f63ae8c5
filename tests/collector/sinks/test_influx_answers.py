from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from collector.sinks.exporter import trouble_of
from collector.sinks.influx_answers import InfluxAnswer, PartlyTaken, meaning
from collector.store.journal import Journal
from linkweather.sink import BatchRefusedError, SinkAwayError, SinkError
from tests.collector.report_samples import entry, latency
from tests.collector.sinks.exporting import ScriptedServer, fill, opened, running, said, v2
from tests.waiting import until

# What InfluxDB 2.9.1 answers, word for word.
NO_ORG = b'{"code":"invalid","message":"Please provide either orgID or org"}'
NO_BUCKET = b'{"code":"not found","message":"bucket \\"later\\" not found"}'
UNAUTHORIZED = b'{"code":"unauthorized","message":"unauthorized access"}'
FORBIDDEN = b'{"code":"forbidden","message":"insufficient permissions for write"}'
NO_POLICY = b'{"error":"retention policy not found"}'
DISK_FULL = b'{"code":"internal error","message":"unexpected error writing points to database: engine: no space left"}'
TOO_OLD = (
    "failure writing points to database: partial write: dropped {n} points outside retention policy of duration 1h0m0s "
    "- oldest point latency,dst=y,method=z,src=x at 2026-11-01T12:00:01Z dropped because it violates a Retention "
    "Policy Lower Bound at 2026-11-27T11:00:00Z, newest point latency,dst=y,method=z,src=x at 2026-11-01T12:00:01Z "
    "dropped because it violates a Retention Policy Lower Bound at 2026-11-27T11:00:00Z dropped={n} for database: 1f "
    "for retention policy: autogen"
)
OTHER_TYPE = (
    'failure writing points to database: partial write: field type conflict: input field \\"sent\\" on measurement '
    '\\"latency\\" is type integer, already exists as type float dropped={n}'
)

Told = tuple[int, dict[str, str], bytes]


def partial(words: str, dropped: int) -> Told:
    return 422, {}, f'{{"code":"unprocessable entity","message":"{words.format(n=dropped)}"}}'.encode()


@pytest.mark.parametrize(
    ("answered", "code", "sentence"),
    [
        ((400, NO_ORG), "setup", "wants to know the organisation: set org (400 Bad Request: Please provide either"),
        (
            (404, NO_BUCKET),
            "setup",
            "has no such database or bucket: check its name, and org and url (404 Not Found: ",
        ),
        (
            (401, UNAUTHORIZED),
            "setup",
            "refuses our credentials: check token, token_file, username and password (401",
        ),
        (
            (403, FORBIDDEN),
            "setup",
            "forbids us to write: give the token or user write permission (403 Forbidden",
        ),
        (
            (500, NO_POLICY),
            "setup",
            "has no such retention policy: check bucket (500 Internal Server Error: ",
        ),
        ((400, b"Client sent an HTTP request to an HTTPS server."), "setup", "speaks TLS: write https:// in url (400"),
        ((500, DISK_FULL), "away", "takes no data now (500 Internal Server Error: unexpected error writing points"),
        ((429, b""), "away", "takes no data now (429 Too Many Requests: )"),
    ],
)
async def test_what_is_not_about_a_point_is_said_and_costs_no_row(
    journal: Journal, caplog: pytest.LogCaptureFixture, answered: tuple[int, bytes], code: str, sentence: str
) -> None:
    fill(journal, range(50))
    answer: Told = answered[0], {}, answered[1]
    with ScriptedServer(lambda _: answer) as server:
        exporter = opened(journal, v2(server.port))
        async with running(exporter):
            await until(lambda: exporter.trouble is not None)
            trouble, posts = exporter.trouble, len(server.bodies)
            assert trouble is not None
            assert (trouble.code, trouble.sentence.partition(" ")[2][: len(sentence)]) == (code, sentence)
            assert posts == 1
            assert (exporter.backlog.lag_rows(), exporter.backlog.set_aside.rows()) == (100, 0)
            answer = 204, {}, b""
            await until(lambda: exporter.exported == 100)
            await until(lambda: exporter.trouble is None)
    assert [line for line in caplog.messages if trouble.sentence in line] == [
        f"sink influx: {trouble.sentence}; it is tried again, and nothing is lost"
    ]


@pytest.mark.parametrize(
    ("status", "words", "means"),
    [
        # InfluxDB 1.x
        (400, "partial write: points beyond retention policy dropped=7", PartlyTaken(7, "", beyond_retention=True)),
        (500, "partial write: points beyond retention policy dropped=7", PartlyTaken(7, "", beyond_retention=True)),
        (400, "partial write: field type conflict: … dropped=2", PartlyTaken(2, "", beyond_retention=False)),
        (400, "partial write: unable to parse 'x': missing fields dropped=0", BatchRefusedError),
        (500, "write failed: points beyond retention policy", BatchRefusedError),
        (500, "timeout", SinkAwayError),
        (413, "Request Entity Too Large", BatchRefusedError),
        (302, "", SinkAwayError),
    ],
)
def test_what_an_answer_means(status: int, words: str, means: PartlyTaken | type[SinkError]) -> None:
    found = meaning(InfluxAnswer("http://x", status, "", words))
    if isinstance(means, PartlyTaken):
        assert found == replace(means, reason=f"{status} : {words}")
    else:
        assert type(found) is means


def test_points_beyond_retention_are_counted_without_another_post_and_the_good_ones_are_written(
    journal: Journal,
) -> None:
    fill(journal, range(10))
    with ScriptedServer(lambda _: partial(TOO_OLD, 3)) as server:
        exporter = opened(journal, v2(server.port))
        assert exporter.step()
        exporter.close()
    assert len(server.bodies) == 1
    assert (exporter.exported, exporter.backlog.set_aside.rows(), exporter.backlog.lag_rows()) == (17, 3, 0)
    (aside,) = exporter.backlog.set_aside.latest(9)
    assert (aside.first, aside.last, aside.rows) == (1, 20, 3)


def test_a_journal_that_is_older_than_the_bucket_keeps_is_passed_over_batch_by_batch(journal: Journal) -> None:
    fill(journal, range(100))
    with ScriptedServer(lambda body: partial(TOO_OLD, body.count("\n") + 1)) as server:
        exporter = opened(journal, v2(server.port, batch_rows=50))
        while exporter.step():
            pass
        exporter.close()
    assert len(server.bodies) == 4
    assert exporter.trouble is None
    assert (exporter.exported, exporter.backlog.set_aside.rows()) == (0, 200)


def test_fields_of_another_type_in_some_rows_are_counted_without_another_post(journal: Journal) -> None:
    fill(journal, range(10))
    with ScriptedServer(lambda _: partial(OTHER_TYPE, 2)) as server:
        exporter = opened(journal, v2(server.port))
        exporter.step()
        exporter.close()
    assert len(server.bodies) == 1
    assert (exporter.exported, exporter.backlog.set_aside.rows()) == (18, 2)


def test_a_field_of_another_type_in_every_row_sets_nothing_aside_and_is_said(journal: Journal) -> None:
    fill(journal, range(10))
    with ScriptedServer(lambda body: partial(OTHER_TYPE, body.count("\n") + 1)) as server:
        exporter = opened(journal, v2(server.port))
        exporter.step()
        exporter.close()
    assert len(server.bodies) == 1
    assert (exporter.backlog.lag_rows(), exporter.backlog.set_aside.rows()) == (20, 0)
    assert "is type integer, already exists as type float" in said(exporter)


def test_without_integer_fields_every_count_goes_out_as_a_float(journal: Journal) -> None:
    journal.commit([entry(latency(1, rtt_p50_s=None, timestamp=None))])
    with ScriptedServer(lambda _: (204, {}, b"")) as server:
        exporter = opened(journal, v2(server.port, integer_fields=False))
        exporter.step()
        exporter.close()
    assert server.bodies == [
        "latency,src=a,dst=b,method=stamp sent=50.0,received=49.0,during_throughput=false 1793534401000000524"
    ]


def bad_at(*places: int) -> Callable[[str], Told]:
    """Refuses a whole body for one line, as 2.x does one that it cannot parse."""
    marks = [f" {1793534400 + place}000000" for place in places]  # below: the digits of boot and number
    return lambda body: (400, {}, b"unable to parse") if any(mark in body for mark in marks) else (204, {}, b"")


@pytest.mark.parametrize("place", [0, 1, 300, 511])
def test_one_bad_point_among_512_costs_about_as_many_posts_as_512_has_halves(journal: Journal, place: int) -> None:
    journal.commit([entry(latency(seq)) for seq in range(512)])
    with ScriptedServer(bad_at(place)) as server:
        exporter = opened(journal, v2(server.port))
        exporter.step()
        exporter.close()
    assert len(server.bodies) <= 1 + 2 * 9
    assert (exporter.exported, exporter.backlog.lag_rows()) == (511, 0)
    (aside,) = exporter.backlog.set_aside.latest(9)
    assert (aside.first, aside.last, aside.rows, aside.reason) == (
        place + 1,
        place + 1,
        1,
        "400 Bad Request: unable to parse",
    )


async def test_a_server_that_refuses_everything_for_a_while_delays_and_costs_no_row(journal: Journal) -> None:
    fill(journal, range(250))
    answer: Told = 400, {}, b"not today"
    with ScriptedServer(lambda _: answer) as server:
        exporter = opened(journal, v2(server.port))
        async with running(exporter):
            await until(lambda: exporter.trouble is not None)
            posts = len(server.bodies)
            assert posts <= 1 + 2 + 8
            assert said(exporter) == "every row is refused: 400 Bad Request: not today"
            assert (exporter.backlog.lag_rows(), exporter.backlog.set_aside.rows()) == (500, 0)
            answer = 204, {}, b""
            await until(lambda: exporter.exported == 500)
            await until(lambda: exporter.trouble is None)
    assert exporter.backlog.set_aside.rows() == 0


async def test_an_end_waits_for_no_answer(journal: Journal) -> None:
    fill(journal, range(3))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        exporter = opened(journal, v2(silent.getsockname()[1], timeout_s=3600.0))
        async with running(exporter):
            connection, _ = await asyncio.to_thread(silent.accept)
            exporter.close(0.0)
            assert not exporter._thread.is_alive()
        connection.close()
    assert exporter.backlog.lag_rows() == 6


async def test_a_token_file_that_is_corrected_is_read_again(journal: Journal, tmp_path: Path) -> None:
    fill(journal, [1])
    secret = tmp_path / "token"
    secret.write_text("wrong\n")
    with ScriptedServer(
        lambda _: (204, {}, b"") if server.requests[-1][1] == "Token right" else (401, {}, b"")
    ) as server:
        exporter = opened(journal, v2(server.port, token_file=secret))
        async with running(exporter):
            await until(lambda: "refuses our credentials" in said(exporter))
            secret.write_text("right\n")
            await until(lambda: exporter.exported == 2)


async def test_a_token_file_that_goes_away_is_said_and_delays(journal: Journal, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("right\n")
    with ScriptedServer(lambda _: (204, {}, b"")) as server:
        exporter = opened(journal, v2(server.port, token_file=secret))
        secret.unlink()
        async with running(exporter):
            fill(journal, [1])
            await until(lambda: said(exporter) == f"token_file = '{secret}': cannot be read")
            secret.write_text("right\n")
            await until(lambda: exporter.exported == 2)


def test_tls_to_a_port_without_it_is_one_line(journal: Journal) -> None:
    fill(journal, [1])
    with ScriptedServer(lambda _: (204, {}, b"")) as server:
        exporter = opened(journal, v2(server.port, url=f"https://127.0.0.1:{server.port}"))
        with pytest.raises(SinkError) as refused:
            exporter.step()
        exporter.close()
    url = f"https://127.0.0.1:{server.port}"
    assert str(refused.value) == f"{url} does not speak TLS: write http:// in url, or name its TLS port"
    assert refused.value.code == "setup"


def test_a_bucket_is_written_with_org_and_token(journal: Journal, tmp_path: Path) -> None:
    fill(journal, [1])
    secret = tmp_path / "token"
    secret.write_text("s3cret\n")
    with ScriptedServer(lambda _: (204, {}, b"")) as server:
        exporter = opened(journal, v2(server.port, org="lab", token_file=secret))
        exporter.step()
        exporter.close()
    assert server.requests == [("/api/v2/write?bucket=linkweather&org=lab&precision=ns", "Token s3cret")]


def test_a_busy_servers_retry_after_is_passed_on(journal: Journal) -> None:
    fill(journal, [1])
    with ScriptedServer(lambda _: (429, {"Retry-After": "17"}, b'{"message":"quota"}')) as server:
        exporter = opened(journal, v2(server.port))
        with pytest.raises(SinkError) as refused:
            exporter.step()
        exporter.close()
    assert str(refused.value).endswith("takes no data now (429 Too Many Requests: quota)")
    assert trouble_of(refused.value, 1).wait_s == 17
    assert exporter.backlog.lag_rows() == 2


def test_a_single_point_that_is_too_large_is_set_aside(journal: Journal) -> None:
    fill(journal, [1])
    with ScriptedServer(lambda body: (413 if "dst=c" in body else 204, {}, b"too large")) as server:
        exporter = opened(journal, v2(server.port))
        exporter.step()
        exporter.close()
    assert (exporter.exported, exporter.backlog.set_aside.rows()) == (1, 1)
    (reason,) = (one.reason for one in exporter.backlog.set_aside.latest(9))
    assert re.fullmatch("413 .* Too Large: too large", reason)  # Python 3.13 has RFC 9110's name of it


def test_a_failure_while_halving_moves_no_cursor_and_sets_nothing_aside(journal: Journal) -> None:
    fill(journal, [1])
    answers = iter([(400, b"bad"), (400, b"bad"), (503, b"[1]")])

    def answer(_: str) -> tuple[int, dict[str, str], bytes]:
        status, text = next(answers)
        return status, {}, text

    with ScriptedServer(answer) as server:
        exporter = opened(journal, v2(server.port))
        with pytest.raises(SinkError):
            exporter.step()
        exporter.close()
    assert exporter.backlog.lag_rows() == 2
    assert exporter.backlog.set_aside.rows() == 0


def test_a_long_batch_goes_by_several_posts_and_moves_no_cursor_unless_all_arrive(journal: Journal) -> None:
    """600 reports of two rows: two posts of 600 lines. One of the first two is turned away."""
    fill(journal, range(600))
    answers = iter([204, 503, 204, 204])
    with ScriptedServer(lambda _: (next(answers), {}, b"")) as server:
        exporter = opened(journal, v2(server.port))
        with pytest.raises(SinkError):
            exporter.step()
        assert exporter.backlog.lag_rows() == 1200
        assert exporter.step()
        exporter.close()
    assert (exporter.backlog.lag_rows(), exporter.exported) == (0, 1200)
    assert [body.count("\n") + 1 for body in server.bodies] == [600] * 4
    assert sorted(server.bodies[:2]) == sorted(server.bodies[2:])
