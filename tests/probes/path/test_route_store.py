"""Known routes across restarts, in files that can and cannot be used."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from probes.path.route_store import RouteStore
from probes.path.traced_route import KnownRoute, fingerprint, hops, recognise, route, steps
from tests.probes.path.samples import samples


def known(*flows: str) -> tuple[KnownRoute, ...]:
    return recognise((), route(samples(*flows)), hops(steps(samples(*flows))))


def test_routes_are_known_again_after_a_restart(tmp_path: Path) -> None:
    routes = recognise(known("a b+c . E", "a d E"), route(samples("x E")), ())
    first = RouteStore(tmp_path / "routes.sqlite")
    first.keep("b", "192.0.2.1", "udp", known("z E"))
    first.keep("b", "192.0.2.1", "udp", routes)
    first.close()
    second = RouteStore(tmp_path / "routes.sqlite")
    assert second.recall("b", "192.0.2.1", "udp") == routes
    assert routes[1].fingerprint == fingerprint(route(samples("a b+c . E", "a d E")))
    second.close()


@pytest.mark.parametrize("other", [("c", "192.0.2.1", "udp"), ("b", "192.0.2.2", "udp"), ("b", "192.0.2.1", "tcp")])
def test_another_address_or_method_is_another_link(other: tuple[str, str, str]) -> None:
    memory = RouteStore()
    memory.keep("b", "192.0.2.1", "udp", known("a E"))
    assert memory.recall(*other) == ()
    memory.close()


def test_process_that_dies_while_it_writes_leaves_a_route_whole(tmp_path: Path) -> None:
    file = tmp_path / "routes.sqlite"
    writing = (
        "import sys; from pathlib import Path; from tests.probes.path.test_route_store import RouteStore, known\n"
        "memory, routes = RouteStore(Path(sys.argv[1])), [known('a E'), known('b c E')]\n"
        "while True:\n"
        "    for each in routes: memory.keep('b', '192.0.2.1', 'udp', each); print('kept', flush=True)\n"
    )
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", writing, str(file)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(20):
                assert process.stdout.readline() == b"kept\n"
            process.kill()
        memory = RouteStore(file)
        assert memory.recall("b", "192.0.2.1", "udp") in {known("a E"), known("b c E")}
        memory.close()


def test_file_that_is_no_database_is_set_aside_and_a_new_one_keeps(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "routes.sqlite"
    file.write_bytes(b"no database at all, and long enough to be taken for one" * 100)
    first = RouteStore(file)
    first.keep("b", "192.0.2.1", "udp", known("a E"))
    first.close()
    (aside,) = tmp_path.glob("routes.sqlite.damaged-*")
    assert aside.read_bytes().startswith(b"no database")
    assert f"is set aside as {aside.name}; 0 are kept" in caplog.text
    second = RouteStore(file)
    assert second.recall("b", "192.0.2.1", "udp") == known("a E")
    second.close()


def test_routes_that_can_be_read_in_a_damaged_file_are_known(tmp_path: Path) -> None:
    file = tmp_path / "routes.sqlite"
    first = RouteStore(file)
    first.keep("b", "192.0.2.1", "udp", known("a E"))
    first.close()
    file.write_bytes(b"damaged!" * 512 + file.read_bytes()[4096:])
    second = RouteStore(file)
    assert second.recall("b", "192.0.2.1", "udp") == known("a E")
    second.close()


def test_file_that_cannot_be_made_forgets_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    memory = RouteStore(tmp_path / "file" / "routes.sqlite")
    memory.keep("b", "192.0.2.1", "udp", known("a E"))
    assert memory.recall("b", "192.0.2.1", "udp") == known("a E")
    memory.close()
    assert "known routes cannot be kept in" in caplog.text


def test_garbage_in_the_file_is_nothing_known(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "routes.sqlite"
    memory = RouteStore(file)
    memory.keep("b", "192.0.2.1", "udp", known("a E"))
    with sqlite3.connect(file) as garbling:
        garbling.execute("UPDATE route SET known = '[1]'")
    garbling.close()
    assert memory.recall("b", "192.0.2.1", "udp") == ()
    assert "cannot be read" in caplog.text
    memory.close()


def test_disk_that_takes_nothing_is_said_and_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "locked.sqlite"
    locked = RouteStore(file)
    with sqlite3.connect(file, isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        locked.keep("b", "192.0.2.1", "udp", known("a E"))
        holder.execute("ROLLBACK")
    holder.close()
    locked.close()
    assert "cannot be kept" in caplog.text
