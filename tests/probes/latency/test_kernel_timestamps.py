"""What a socket's errors are taken for. The stamps themselves are tested by the engine, on real sockets."""

from __future__ import annotations

import errno
import os
import resource
import socket

import pytest

from linkweather.errors import OperatorError
from probes.latency.kernel_timestamps import Sending, families, open_socket, receive


def test_a_socket_of_our_own_mistake_is_not_taken_for_an_empty_one() -> None:
    sending: Sending[int] = Sending(open_socket(socket.AF_INET, "127.0.0.1", 0))
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
