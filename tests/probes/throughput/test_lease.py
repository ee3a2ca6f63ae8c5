from __future__ import annotations

from probes.throughput.lease import Lease


def test_a_free_lease_is_taken_and_names_its_holder() -> None:
    lease = Lease()
    assert lease.holder(0.0) is None
    assert lease.take(0.0, 5.0, "b")
    assert lease.holder(4.9) == "b"
    assert lease.remaining_s(3.5) == 1.5


def test_a_second_test_has_to_wait_even_with_the_same_site() -> None:
    lease = Lease()
    assert lease.take(0.0, 5.0, "b")
    assert not lease.take(1.0, 6.0, "c")
    assert not lease.take(1.0, 6.0, "b")
    assert lease.holder(1.0) == "b"


def test_a_released_lease_is_free_at_once() -> None:
    lease = Lease()
    lease.take(0.0, 5.0, "b")
    lease.release("b")
    assert lease.remaining_s(1.0) == 0.0
    assert lease.take(1.0, 6.0, "c")


def test_an_overdue_lease_is_free_and_its_late_release_harms_nobody() -> None:
    lease = Lease()
    lease.take(0.0, 5.0, "b")
    assert lease.take(5.0, 9.0, "c")
    lease.release("b")
    assert lease.holder(6.0) == "c"
