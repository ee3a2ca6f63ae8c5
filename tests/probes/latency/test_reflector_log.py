"""What a reflector dropped: counts by reason, and a line a minute that names the senders."""

from __future__ import annotations

import asyncio

import pytest

from probes.latency.reflector_drops import MOST_ADDRESSES, PHRASES, ReflectorDrops, log_drops


def dropped(count: int, reason: str, address: str, drops: ReflectorDrops | None = None) -> ReflectorDrops:
    drops = ReflectorDrops() if drops is None else drops
    for _ in range(count):
        drops.drop(reason, address)
    return drops


async def test_what_is_new_is_one_line_and_nothing_is_none(caplog: pytest.LogCaptureFixture) -> None:
    drops = ReflectorDrops()
    logged = asyncio.Event()
    caplog.handler.addFilter(lambda record: logged.set() or bool(record))  # type: ignore[func-returns-value]
    task = asyncio.create_task(log_drops(drops, every_s=0.01), name="drops")
    for counts in ({"bad_hmac": 12, "loop": 1}, {"replay": 3}):
        logged.clear()
        for reason, count in counts.items():
            dropped(count, reason, "10.0.0.3", drops)
        async with asyncio.timeout(90):
            await logged.wait()
    task.cancel()
    await asyncio.wait([task])
    assert [
        record.getMessage().removeprefix("the reflector dropped datagrams of the last 0.01 s: ")
        for record in caplog.records
    ] == [
        f"12 from 10.0.0.3 {PHRASES['bad_hmac']}; 1 from 10.0.0.3 {PHRASES['loop']}",
        "3 from 10.0.0.3 were replays",
    ]
    assert drops == {"bad_hmac": 12, "loop": 1, "replay": 3}


def test_a_flood_from_many_addresses_is_bounded_in_memory_and_in_the_line() -> None:
    drops = ReflectorDrops()
    for number in range(1000):
        drops.drop("short", f"10.0.{number // 250}.{number % 250}")
    dropped(2, "short", "10.0.0.7", drops)
    assert sum(map(len, drops._senders.values())) == MOST_ADDRESSES + 1
    parts = (drops.sentence() or "").split("; ")
    phrase = PHRASES["short"]
    assert parts[:3] == [
        f"{1000 - MOST_ADDRESSES} from other addresses {phrase}",
        f"3 from 10.0.0.7 {phrase}",
        f"1 from 10.0.0.0 {phrase}",
    ]
    assert (len(parts), parts[-1]) == (9, f"{MOST_ADDRESSES - 7} others")
    assert drops["short"] == 1002
    assert drops.sentence() is None


def test_probes_that_failed_authentication_are_named_until_a_minute_has_none() -> None:
    drops = dropped(12, "bad_hmac", "10.0.0.3", dropped(3, "short", "10.0.0.4"))
    assert drops.unauthenticated() == {"10.0.0.3": 12}
    drops.sentence()
    dropped(1, "bad_hmac", "10.0.0.3", drops)
    assert drops.unauthenticated() == {"10.0.0.3": 13}
    drops.sentence()
    drops.sentence()
    assert drops.unauthenticated() == {}
