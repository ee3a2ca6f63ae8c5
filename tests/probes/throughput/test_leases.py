from __future__ import annotations

import pytest

from linkweather.containment import overflows
from linkweather.wire import Claim
from probes.throughput import leases
from probes.throughput.leases import MAX_CLAIM_S, Claims, SiteLease


def test_a_free_lease_is_taken_and_names_its_holder() -> None:
    lease = SiteLease()
    assert lease.holder(0.0) is None
    assert lease.take(0.0, 5.0, "b")
    assert lease.holder(4.9) == "b"
    assert lease.remaining_s(3.5) == 1.5


def test_a_second_test_has_to_wait_even_with_the_same_site() -> None:
    lease = SiteLease()
    assert lease.take(0.0, 5.0, "b")
    assert not lease.take(1.0, 6.0, "c")
    assert not lease.take(1.0, 6.0, "b")
    assert lease.holder(1.0) == "b"


def test_a_released_lease_is_free_at_once() -> None:
    lease = SiteLease()
    lease.take(0.0, 5.0, "b")
    lease.release("b")
    assert lease.remaining_s(1.0) == 0.0
    assert lease.take(1.0, 6.0, "c")


def test_an_overdue_lease_is_free_and_its_late_release_harms_nobody() -> None:
    lease = SiteLease()
    lease.take(0.0, 5.0, "b")
    assert lease.take(5.0, 9.0, "c")
    lease.release("b")
    assert lease.holder(6.0) == "c"


UPLINK = frozenset({"uplink"})
BOTH = frozenset({"uplink", "other"})


def claim(number: int, *groups: str, for_s: float = 5.0) -> Claim:
    return Claim(id=f"test-{number}", groups=groups, for_s=for_s)


def released(number: int) -> Claim:
    return Claim(id=f"test-{number}", for_s=0.0)


def hear(claims: Claims, now: float, by: str, said: Claim, longest_s: float = MAX_CLAIM_S) -> None:
    """By a mesh in which each site tests links at both groups."""
    claims.hear(now, by, said, BOTH, longest_s)


def test_of_two_claims_the_one_that_was_heard_first_has_the_group() -> None:
    claims = Claims()
    hear(claims, 10.0, "a", claim(1, "uplink"))
    hear(claims, 10.1, "b", claim(2, "uplink"))
    assert claims.first(10.2, "a", "test-1", UPLINK)
    assert not claims.first(10.2, "b", "test-2", UPLINK)
    assert claims.remaining_s(10.2, UPLINK, but="a") == 15.1 - 10.2
    assert claims.remaining_s(10.2, UPLINK, but="b") == 15.0 - 10.2


def test_groups_that_are_different_ones_are_claimed_side_by_side() -> None:
    claims = Claims()
    hear(claims, 0.0, "a", claim(1, "uplink"))
    hear(claims, 0.0, "b", claim(2, "other"))
    assert claims.first(1.0, "a", "test-1", UPLINK)
    assert claims.first(1.0, "b", "test-2", frozenset({"other"}))


def test_a_claim_of_two_groups_has_neither_while_one_is_taken() -> None:
    claims = Claims()
    hear(claims, 0.0, "a", claim(1, "other"))
    hear(claims, 0.0, "b", claim(2, "uplink", "other"))
    assert not claims.first(1.0, "b", "test-2", BOTH)


def test_a_claim_that_waits_in_vain_still_keeps_later_ones_out_until_it_is_given_back() -> None:
    # a's claim runs out at 5.0 for c, and at 5.1 for d, who heard it later: only c takes b's for granted.
    claims = Claims()
    hear(claims, 0.1, "a", claim(1, "uplink"))
    hear(claims, 5.05, "b", claim(2, "uplink"))
    hear(claims, 5.2, "d", claim(3, "uplink"))
    assert not claims.first(5.2, "d", "test-3", UPLINK)
    hear(claims, 5.3, "b", released(2))
    assert claims.first(5.3, "d", "test-3", UPLINK)


def test_a_group_is_free_when_its_claim_is_given_back_or_has_run_out() -> None:
    claims = Claims()
    hear(claims, 0.0, "a", claim(1, "uplink"))
    hear(claims, 0.5, "b", claim(2, "uplink"))
    hear(claims, 1.0, "a", released(1))
    assert claims.first(1.0, "b", "test-2", UPLINK)
    hear(claims, 2.0, "c", claim(3, "uplink"))
    assert not claims.first(5.4, "c", "test-3", UPLINK)
    assert claims.first(5.5, "c", "test-3", UPLINK)
    assert claims.remaining_s(5.5, UPLINK, but="c") == 0.0


def test_a_claim_that_has_run_out_or_was_never_heard_has_nothing() -> None:
    claims = Claims()
    hear(claims, 0.0, "a", claim(1, "uplink"))
    assert not claims.first(5.0, "a", "test-1", UPLINK)
    assert not claims.first(1.0, "a", "test-9", UPLINK)


def test_a_claim_covers_only_the_groups_that_it_names() -> None:
    claims = Claims()
    hear(claims, 0.0, "a", claim(1, "uplink"))
    assert claims.first(1.0, "a", "test-1", UPLINK)
    assert not claims.first(1.0, "a", "test-1", BOTH)


def test_what_is_said_twice_prolongs_nothing_and_an_old_goodbye_frees_nothing() -> None:
    claims = Claims()
    hear(claims, 0.0, "a", claim(1, "uplink"))
    hear(claims, 4.0, "a", claim(1, "uplink"))
    assert claims.remaining_s(4.0, UPLINK, but="") == 1.0
    hear(claims, 4.0, "a", released(0))
    hear(claims, 4.0, "z", released(1))
    assert claims.first(4.5, "a", "test-1", UPLINK)


def test_a_sites_next_claim_replaces_its_last_and_stands_behind_the_others() -> None:
    claims = Claims()
    hear(claims, 0.0, "a", claim(1, "uplink"))
    hear(claims, 1.0, "b", claim(2, "uplink"))
    hear(claims, 2.0, "a", claim(3, "uplink"))
    assert claims.first(2.0, "b", "test-2", UPLINK)
    assert not claims.first(2.0, "a", "test-1", UPLINK)
    assert not claims.first(2.0, "a", "test-3", UPLINK)


def test_no_claim_stands_longer_than_a_test_could_need() -> None:
    claims = Claims()
    hear(claims, 0.0, "a", claim(1, "uplink", for_s=1e9))
    assert claims.remaining_s(0.0, UPLINK, but="") == MAX_CLAIM_S


def test_a_claim_stands_no_longer_than_a_test_of_this_mesh() -> None:
    claims = Claims()
    hear(claims, 0.0, "a", claim(1, "uplink", for_s=100.0), longest_s=30.0)
    assert claims.remaining_s(0.0, UPLINK, but="") == 30.0


def test_a_site_has_no_part_of_a_group_that_it_may_not_claim() -> None:
    claims = Claims()
    claims.hear(0.0, "a", claim(1, "uplink", "other"), UPLINK)
    assert claims.first(0.0, "a", "test-1", UPLINK)
    assert not claims.first(0.0, "a", "test-1", BOTH)
    assert claims.remaining_s(0.0, frozenset({"other"}), but="") == 0.0


@pytest.mark.parametrize("given_back", [True, False])
def test_after_a_claim_its_site_pauses_for_a_third_of_the_time_that_it_stood(*, given_back: bool) -> None:
    claims = Claims()
    hear(claims, 0.0, "a", claim(1, "uplink", for_s=3.0))
    if given_back:
        hear(claims, 3.0, "a", released(1))
    assert claims.pause_s(2.9, "a") == (0.0 if not given_back else pytest.approx(1.1))
    assert claims.pause_s(3.0, "a") == pytest.approx(1.0)
    hear(claims, 3.9, "a", claim(2, "uplink"))
    assert not claims.first(3.9, "a", "test-2", UPLINK)
    hear(claims, 3.9, "b", claim(3, "uplink"))  # others do not pause
    assert claims.first(3.9, "b", "test-3", UPLINK)
    hear(claims, 4.1, "a", claim(4, "uplink"))
    hear(claims, 4.2, "b", released(3))
    assert claims.first(4.2, "a", "test-4", UPLINK)


@pytest.mark.parametrize("every", [1, 400], ids=["all the time", "as soon as it counts"])
def test_who_claims_without_end_leaves_the_others_a_turn_in_four(every: int) -> None:
    claims, had = Claims(), 0
    for tenth in range(1200):
        if tenth % every == 0:
            hear(claims, tenth / 10, "a", claim(tenth, "uplink", for_s=1e9), longest_s=30.0)
        hear(claims, tenth / 10, "b", claim(tenth, "uplink", for_s=0.1))
        had += claims.first(tenth / 10, "b", f"test-{tenth}", UPLINK)
        hear(claims, tenth / 10 + 0.05, "b", released(tenth))
    assert 0.24 <= had / 1200 < 0.6


def test_claims_of_so_many_sites_are_kept_the_ended_ones_go_first_and_the_others_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases, "MOST_CLAIMS", 2)
    claims = Claims()
    before = overflows().get("claims", 0)
    for at, (number, site) in enumerate(zip((1, 2, 3), "abc", strict=True)):
        hear(claims, float(at), site, claim(number, "uplink"))
    assert overflows()["claims"] == before + 1
    assert not claims.first(3.0, "c", "test-3", frozenset({"uplink"}))
    assert claims.first(3.0, "a", "test-1", frozenset({"uplink"}))
    hear(claims, 5.5, "c", claim(3, "uplink"))  # the one of a has run out
    assert claims.first(6.5, "c", "test-3", frozenset({"uplink"}))
