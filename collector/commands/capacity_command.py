"""`linkweather capacity`: says what a site has for jobs, and shows what the collector knows."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from linkweather import settings
from linkweather.broker import BrokerSettings
from linkweather.cli.asking import api_option, asking, print_json
from linkweather.cli.options import (
    DURATION,
    PERIOD,
    PRICE,
    SITE_NEEDED,
    broker_options,
    config_option,
    json_option,
    site_option,
    with_broker,
)
from linkweather.cli.output import echo
from linkweather.cli.root import EXIT_FAILED
from linkweather.cli.tables import capacity_table
from linkweather.cli.terminal import terminal
from linkweather.errors import MessageError, OperatorError
from linkweather.mesh import Settings, SiteId
from linkweather.mqtt import Connection
from linkweather.wire import CapacityReport, Committed, DeviceRow, decode, encode, topics

REPEAT_S = 2.0


class _Where(Settings):
    """What is read of a probe's settings: which site this is, and where its broker is."""

    site: SiteId
    broker: BrokerSettings = BrokerSettings()


@click.group()
def capacity() -> None:
    """Say what a site has for jobs, and show what the collector knows of all."""


@capacity.command()
@json_option
@api_option
def show(*, as_json_: bool, api: str) -> None:
    """Show what each site last said of its devices."""
    with asking(api) as client:
        answers = client.capacity()
    if as_json_:
        print_json(answers)
    else:
        terminal().print(capacity_table(answers))


@capacity.command("set")
@click.argument("devices", nargs=-1, required=True, metavar="TYPE=TOTAL[:FREE]...")
@config_option("probe.toml")
@site_option
@broker_options()
@click.option("--queue", type=DURATION, metavar="TIME", help="How long a job that comes now waits, such as 10min.")
@click.option("--queued", type=float, metavar="DEVICE-HOURS", help="Work that is ahead of it, running or waiting.")
@click.option("--price", type=PRICE, metavar="USD", help="Per device and hour.")
@click.option(
    "--timeout",
    type=PERIOD,
    default="10s",
    show_default=True,
    metavar="TIME",
    help="How long to wait for the collector.",
)
def set_(*, devices: tuple[str, ...], config: Path | None, timeout: float, **options: Any) -> None:
    """Say how many devices of each TYPE this site has, and how many of them are free: without FREE, all.

    What the options say is said of each of these types; call again for others. The collector keeps what it was told
    last of each type, and no longer counts on it after an hour: say it again before, from cron or by a scheduler.
    Exit status 1: no collector confirmed it in time, or it refuses it.
    """
    where = _where(config, options)
    values = {
        "boot": f"capacity-{secrets.token_hex(8)}",
        "seq": 0,
        "at": datetime.now(UTC),
        "devices": tuple(_row(text, options) for text in devices),
    }
    report = settings.validate(values, CapacityReport, "the options")
    told = asyncio.run(_publish(where, report, timeout))
    if isinstance(told, str):
        echo(f"Error: {told}", err=True)
        raise SystemExit(EXIT_FAILED)
    echo(f"in the record: {where.site} has {', '.join(devices)}")


def _where(config: Path | None, options: dict[str, Any]) -> _Where:
    values = settings.values_of(settings.read(config), str(config)) if config else {}
    named = with_broker({name: values[name] for name in ("site", "broker") if name in values}, options)
    if options["site"] is not None:
        named["site"] = options["site"]
    elif config is None:
        raise OperatorError(SITE_NEEDED)
    return settings.validate(named, _Where, str(config) if config else "the options")


def _row(text: str, options: dict[str, Any]) -> DeviceRow:
    kind, _, counts = text.rpartition("=")
    total, _, free = counts.partition(":")
    try:
        numbers = {"total": int(total), "free": int(free or total)}
    except ValueError:
        raise OperatorError(f"{text!r}: must be TYPE=TOTAL or TYPE=TOTAL:FREE, such as a100=16:4") from None
    said = {
        "queue_s": options["queue"],
        "queued_device_hours": options["queued"],
        "usd_per_device_hour": options["price"],
    }
    given = {name: value for name, value in said.items() if value is not None}
    return settings.validate({"type": kind, **numbers, **given}, DeviceRow, repr(text))


async def _publish(where: _Where, report: CapacityReport, limit_s: float) -> str | None:
    """Publish, and wait for the collector's word; returns what went wrong, in one sentence."""
    told: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()

    def handle(_topic: str, payload: bytes) -> None:
        try:
            heard = decode(Committed, payload)
        except MessageError:
            return  # not a collector's
        if heard.boot == report.boot and not told.done():
            told.set_result(heard)

    connected = asyncio.Event()
    connection = Connection(
        where.broker.address,
        report.boot,
        subscriptions=[topics.committed(where.site)],
        handle=handle,
        on_connect=connected.set,
    )
    running = asyncio.create_task(connection.run(), name="capacity")
    try:
        async with asyncio.timeout(limit_s):
            while not told.done():  # a collector that comes up meanwhile has not heard what was said before
                await connected.wait()
                if not await connection.publish(topics.report(where.site, "capacity"), encode(report)):
                    connected.clear()
                await asyncio.wait([told], timeout=REPEAT_S)
            return _refusal(where, told.result())
    except TimeoutError:
        away = "no collector confirms it: is one running, and may this user read what it says to the site?"
        return f"not in the record after {limit_s:g} s: {connection.last_error or away}"
    finally:
        running.cancel()
        await asyncio.wait([running])


def _refusal(where: _Where, told: Committed) -> str | None:
    return f"the collector refuses what {where.site} says: {told.refused[0].reason}" if told.refused else None
