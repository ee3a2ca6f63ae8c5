from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkweather.wire import Hop
from probes.path import traced_route
from probes.path.traced_route import (
    HopResponder,
    KnownRoute,
    Step,
    fingerprint,
    hops,
    merged,
    reached,
    recognise,
    route,
    same,
    steps,
)
from probes.path.tracer_lines import HopSample
from tests.probes.path.samples import END, sample, samples

SAME = {
    "alike": (("a b E",), ("a b E",)),
    "a router silent before": (("a . E",), ("a b E",)),
    "a router silent after": (("a b E",), ("a . E",)),
    "different routers silent": (("a . c E",), ("a b . E",)),
    "nobody at all answers": (("a b E",), (". . .",)),
    "the destination silent after": (("a b E",), ("a b .",)),
    "the destination silent before": (("a b",), ("a b E",)),
    "the destination's first answer lost": (("a b E",), ("a b . E",)),
    "parallel paths, one probe lost": (("a b E", "a c E"), ("a b E", "a . E")),
    "parallel paths of different lengths": (("a b E", "a c d E"), ("a b E", "a c d E")),
    "packet by packet": (("a b+c E", "a b E"), ("a c+b E", "a c E")),
    "packet by packet, seen later": (("a b E",), ("a b+c E",)),
    "more flows than before": (("a b E",), ("a b E", "a c E")),
}
OTHER = {
    "another router": (("a b E",), ("a c E",)),
    "one router more": (("a b E",), ("a b c E",)),
    "one router more that answers, and a lost one": (("a E",), ("a b . E",)),
    "one router less": (("a b E",), ("a E",)),
    "one of two parallel paths": (("a b E", "a c E"), ("a b E", "a d E")),
    "packet by packet, others": (("a b+c E",), ("a d+e E",)),
    "a router beyond the end": (("a E",), ("a b",)),
    "somebody else at the end": (("a b E",), ("a b c",)),
}


@pytest.mark.parametrize("case", SAME)
def test_route_is_the_same(case: str) -> None:
    before, after = (route(samples(*flows)) for flows in SAME[case])
    assert same(before, after)
    assert same(after, before)


@pytest.mark.parametrize("case", OTHER)
def test_route_is_another(case: str) -> None:
    before, after = (route(samples(*flows)) for flows in OTHER[case])
    assert not same(before, after)
    assert not same(after, before)


# What was seen before is known later: these are not the same the other way round.
KNOWN_SINCE = {
    "a flow on another of the known branches": (("a b E", "a c E"), ("a c E", "a c E")),
    "all flows on the other branch": (("a b E", "a c E"), ("a c E", "a b E")),
    "a flow on a known branch of another length": (("a b E", "a c d E"), ("a c d E", "a c d E")),
    "a known branch and the destination silent": (("a b E", "a c E"), ("a c .", "a . .")),
}


@pytest.mark.parametrize("case", KNOWN_SINCE)
def test_parallel_path_that_is_known_is_no_other_route(case: str) -> None:
    before, after = (route(samples(*flows)) for flows in KNOWN_SINCE[case])
    assert same(before, after)


def test_parallel_path_that_is_new_is_another_route() -> None:
    assert not same(route(samples("a b E", "a b E")), route(samples("a b E", "a c E")))


def test_branch_that_no_flow_takes_any_more_stays_known() -> None:
    both, one, back = (route(samples(*flows)) for flows in (("a b E", "a c E"), ("a b E",) * 2, ("a c E", "a b E")))
    known = recognise(recognise(recognise((), both, ()), one, ()), back, ())
    assert [each.fingerprint for each in known] == [fingerprint(both)]


@given(st.data())
def test_silence_alone_never_makes_another_route(data: st.DataObject) -> None:
    lengths = st.integers(1, 6)
    flows = [
        " ".join([f"r{data.draw(st.integers(0, 9))}" for _ in range(data.draw(lengths))] + ["E"])
        for _ in range(data.draw(st.integers(1, 4)))
    ]
    whole = samples(*flows)
    kept = [data.draw(st.booleans()) for _ in whole]
    heard = [each if keep else sample(each.flow, each.ttl, ".") for each, keep in zip(whole, kept, strict=True)]
    assert same(route(whole), route(heard))
    assert recognise(recognise((), route(whole), ()), route(heard), ())[0].fingerprint == fingerprint(route(whole))


def test_fingerprint_is_of_the_sets_of_addresses() -> None:
    expected = hashlib.sha256(b"a b,c * 192.0.2.99").hexdigest()[:16]
    assert fingerprint(route(samples("a b . E", "a c . E"))) == expected
    assert fingerprint(route(samples("a c . E", "a b . E"))) == expected


def test_step_has_the_lowest_rtt_the_loss_and_who_met_whom() -> None:
    found = steps(
        [
            sample(0, 1, "a", 0.003),
            sample(0, 1, "a", 0.001, (16,)),
            sample(0, 1, "."),
            sample(1, 1, "b", 0.002),
            sample(2, 1, "a", 0.004),
        ]
    )
    assert found == (Step(1, 5, 1, (HopResponder("a", 0.001, (0, 2), (16,)), HopResponder("b", 0.002, (1,), ()))),)
    assert hops(found) == (Hop(ttl=1, address="a", rtt_s=0.001, loss_ratio=0.2, also=("b",), labels=(16,)),)


def test_hops_end_where_the_last_answer_came_from() -> None:
    assert hops(steps(samples("a . b . ."))) == (
        Hop(ttl=1, address="a", rtt_s=0.01, loss_ratio=0.0),
        Hop(ttl=2, loss_ratio=1.0),
        Hop(ttl=3, address="b", rtt_s=0.01, loss_ratio=0.0),
    )
    assert steps(samples(". . .")) == ()
    assert steps([]) == ()
    assert route([]) == ()


def test_probes_beyond_the_destination_do_not_count() -> None:
    sent_ahead = [*samples("a E"), sample(0, 3, "E"), sample(0, 4, ".")]
    assert [step.ttl for step in steps(sent_ahead)] == [1, 2]
    assert route(sent_ahead) == route(samples("a E"))


def test_refusal_ends_the_path_without_reaching_the_destination() -> None:
    refused = [*samples("a"), HopSample(flow=0, ttl=2, outcome="refused", address="b", rtt_s=0.1), sample(0, 3, ".")]
    assert not reached(refused)
    assert reached(samples("a E"))
    assert [step.ttl for step in steps(refused)] == [1, 2]
    assert not same(route(refused), route(samples("a b E")))


def test_what_two_traces_know_is_put_together() -> None:
    known = merged(route(samples("a . E")), route(samples("a b .", "a c E")))
    assert known == route(samples("a b E", "a c E"))


def test_lost_answer_of_the_destination_lengthens_nothing() -> None:
    assert merged(route(samples("a E")), route(samples("a . E"))) == route(samples("a E"))


def test_learned_router_counts_later_while_the_name_stays() -> None:
    first = recognise((), route(samples("a . E")), ())
    second = recognise(first, route(samples("a b E")), ())
    third = recognise(second, route(samples("a c E")), ())
    assert second[0].fingerprint == first[0].fingerprint
    assert third[0].fingerprint != first[0].fingerprint
    assert [known.fingerprint for known in third] == [third[0].fingerprint, first[0].fingerprint]


def test_returning_route_has_its_old_name_also_with_a_silent_router() -> None:
    one, other = route(samples("a b E")), route(samples("c d E"))
    known = recognise(recognise((), one, ()), other, ())
    again = recognise(known, route(samples("a . E")), ())
    assert again[0].fingerprint == fingerprint(one)
    assert len(again) == 2


def test_only_so_many_routes_are_remembered() -> None:
    known: tuple[KnownRoute, ...] = ()
    for number in range(20):
        known = recognise(known, route(samples(f"r{number} E")), ())
    assert len(known) == 8
    assert known[0].fingerprint == fingerprint(route(samples("r19 E")))
    assert END in str(known[0].route)


def test_a_trace_that_was_cut_off_says_after_how_many_hops() -> None:
    assert traced_route.not_within(30) == "not reached within 30 hops"
