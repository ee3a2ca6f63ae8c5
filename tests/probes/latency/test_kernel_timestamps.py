"""What a socket's errors are taken for. The stamps themselves are tested by the engine, on real sockets."""

from __future__ import annotations

import errno
import os
import resource
import socket

import pytest

from linkweather.errors import OperatorError
from probes.latency.kernel_timestamps import BufferOverflow, StampedSocket, receive
from probes.latency.udp_sockets import families, open_socket


def test_a_socket_of_our_own_mistake_is_not_taken_for_an_empty_one() -> None:
    sending: StampedSocket[int] = StampedSocket(open_socket(socket.AF_INET, "127.0.0.1", 0))
    sending.socket.close()
    for read in (lambda: list(receive(sending.socket)), lambda: list(sending.drain_errors())):
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            read()
        assert caught.value.errno == errno.EBADF


def test_without_a_free_file_number_a_machine_is_not_said_to_have_no_address_family() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        with pytest.raises(OperatorError, match="cannot be opened: Too many open files"):
            families(())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_what_a_full_buffer_lost_is_counted_once() -> None:
    with (
        open_socket(socket.AF_INET, "127.0.0.1", 0) as full,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        overflow = BufferOverflow([full])
        for _ in range(100):
            sender.sendto(bytes(44), full.getsockname())
        lost = overflow.take()
        assert overflow.filled > 0.5
        kept = len(list(receive(full, 100)))
        assert 0 < kept < 100
        assert lost == 100 - kept
        assert (overflow.take(), overflow.filled) == (0, 0.0)


def test_where_the_kernel_counts_no_overflow_there_is_none() -> None:
    with open_socket(socket.AF_INET, "127.0.0.1", 0) as closed:
        overflow = BufferOverflow([closed])
    assert overflow.take() == 0
