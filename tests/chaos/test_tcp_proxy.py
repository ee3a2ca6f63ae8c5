"""What each state of a way does to real connections."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.chaos.tcp_proxy import DELAY_S, Proxies

LIMIT_S = 5.0
SILENCE_S = 0.2


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while data := connection.recv(4096):
                connection.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def ways() -> Iterator[Proxies]:
    with Proxies() as found:
        yield found


@pytest.fixture
def port(ways: Proxies, echo: int) -> int:
    return ways.through("way", echo)


@pytest.fixture
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as found:
        assert echoed(found, b"before")
        yield found


def echoed(connection: socket.socket, data: bytes) -> bool:
    connection.sendall(data)
    return connection.recv(4096) == data


def silent(connection: socket.socket) -> bool:
    connection.settimeout(SILENCE_S)
    try:
        connection.recv(4096)
    except TimeoutError:
        return True
    else:
        return False
    finally:
        connection.settimeout(LIMIT_S)


def test_a_cut_way_ends_its_connections_and_refuses_new_ones(
    ways: Proxies, port: int, connection: socket.socket
) -> None:
    ways.turn("way", "cut")
    with pytest.raises(ConnectionResetError):
        connection.recv(4096)
    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as refused:
        refused.recv(4096)
    ways.turn("way", "open")
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as again:
        assert echoed(again, b"again")


def test_a_delayed_way_is_late_both_ways(ways: Proxies, connection: socket.socket) -> None:
    ways.turn("way", "delay")
    began = time.monotonic()
    assert echoed(connection, b"late")
    assert time.monotonic() - began >= 2 * DELAY_S


def test_a_stalled_way_holds_everything_back_and_loses_nothing(ways: Proxies, connection: socket.socket) -> None:
    ways.turn("way", "stall")
    connection.sendall(b"held")
    assert silent(connection)
    ways.turn("way", "open")
    assert connection.recv(4096) == b"held"


def test_a_half_open_way_loses_bytes_and_resets_the_connection_when_it_opens(
    ways: Proxies, connection: socket.socket
) -> None:
    ways.turn("way", "half-open")
    connection.sendall(b"lost")
    assert silent(connection)
    ways.turn("way", "open")
    with pytest.raises(ConnectionResetError):
        connection.recv(4096)


def test_a_mute_way_loses_what_the_caller_says_and_nothing_else(ways: Proxies) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        way = ways.through("other", server.getsockname()[1])
        client = stack.enter_context(socket.create_connection(("127.0.0.1", way), timeout=LIMIT_S))
        accepted = stack.enter_context(server.accept()[0])
        ways.turn("other", "mute")
        client.sendall(b"lost")
        assert silent(accepted)
        accepted.sendall(b"heard")
        assert client.recv(4096) == b"heard"
        ways.turn("other", "open")
        with pytest.raises(ConnectionResetError):
            client.recv(4096)


def test_a_half_open_way_does_not_say_that_the_other_end_is_gone(ways: Proxies) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        way = ways.through("other", server.getsockname()[1])
        client = stack.enter_context(socket.create_connection(("127.0.0.1", way), timeout=LIMIT_S))
        accepted, _ = server.accept()
        ways.turn("other", "half-open")
        accepted.close()
        assert silent(client)


def test_a_way_to_nobody_ends_the_connection(ways: Proxies) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    way = ways.through("nowhere", port)
    with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", way), timeout=LIMIT_S) as client:
        client.recv(4096)


def test_a_way_that_leads_elsewhere_ends_its_connections(
    ways: Proxies, connection: socket.socket, port: int, echo: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(LIMIT_S)
        ways.lead("way", other.getsockname()[1])
        with suppress(ConnectionError):
            assert connection.recv(1) == b""
        with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S):
            accepted, _ = other.accept()
            accepted.close()
    ways.lead("way", echo)
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as again:
        assert echoed(again, b"after")
