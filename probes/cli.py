"""The commands of a site. What they do is imported when they do it, so that their help is quick."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

import click

# Below this a test by hand is a flood: at most 1,000 probes a second leave.
SHORTEST_INTERVAL_S = 0.001
SLOWEST_BPS, DEFAULT_UDP_BPS, FASTEST_BPS = 1e3, 10e6, 100e9
_ANY_FAMILY, _IPV4, _IPV6 = 0, 2, 10  # AF_UNSPEC, AF_INET, AF_INET6

_PORT = click.IntRange(1, 65535)
_FILE = click.Path(path_type=Path)
_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([kKmMgG]?)", re.ASCII)
_SIZES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}


class _Seconds(click.FloatRange):
    """A bounded time; click lets "nan" through every bound."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return float(seconds)


def _rate(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """A rate in bit/s, as iperf3 writes it: powers of a thousand."""
    if value is None:
        return None
    found = _RATE.fullmatch(value)
    rate_bps = float(found[1]) * _SIZES[found[2].lower()] if found else 0.0
    if not SLOWEST_BPS <= rate_bps <= FASTEST_BPS:
        problem = f"{value!r} is no rate such as 500k, 10M or 1G (bit/s), from 1k to 100G."
        raise click.BadParameter(problem, context, option)
    return rate_bps


def _prefixes(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(value)) for value in values)
    except ValueError as error:
        raise click.BadParameter(f"{error}: name prefixes such as 192.0.2.0/24", context, option) from None


@click.command()
@click.argument("hosts", metavar="HOST…", nargs=-1, required=True)
@click.option("--latency", is_flag=True, help="Measure latency only, unless --throughput is given too.")
@click.option("--throughput", is_flag=True, help="Measure throughput only, unless --latency is given too.")
@click.option(
    "--method",
    type=click.Choice(["auto", "stamp", "icmp", "tcp"]),
    default="auto",
    show_default=True,
    help="How latency is measured; auto takes the first of the three that HOST answers, STAMP within 0.5 s.",
)
@click.option(
    "--count", type=click.IntRange(min=1, max=1_000_000), default=50, show_default=True, help="Latency probes to send."
)
@click.option(
    "--interval",
    type=_Seconds(min=SHORTEST_INTERVAL_S, max=3600),
    default=0.1,
    show_default=True,
    metavar="S",
    help=f"Seconds between probes, at least {SHORTEST_INTERVAL_S:g}.",
)
@click.option(
    "--timeout",
    type=_Seconds(min=0.001, max=60),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Seconds after which a reply is late.",
)
@click.option(
    "--port",
    type=_PORT,
    help="Port of whichever method is used: the reflector's UDP port (8620 when"
    " not given), or the TCP port to connect to (443).",
)
@click.option("--tcp-port", type=_PORT, help="TCP port to connect to, where --port is the reflector's.")
@click.option("--key-file", type=_FILE, help="64 hexadecimal digits: authenticated STAMP.")
@click.option("--iperf3-port", type=_PORT, default=5201, show_default=True, help="Port of `iperf3 -s` at HOST.")
@click.option(
    "--duration",
    type=_Seconds(min=0.5, max=60),
    metavar="S",
    help="Seconds that a throughput test lasts at the most.  [default: 10 where it can converge, else 3]",
)
@click.option(
    "--until-converged/--no-until-converged",
    default=True,
    help="Stop as soon as the estimate has converged (default; not with --udp, nor for data to HOST,"
    " which is seen there only), or take the whole duration.",
)
@click.option("--reverse/--forward", default=True, help="Data flows from HOST to here (default), or to HOST.")
@click.option("--bidir", is_flag=True, help="Test the other direction too, after the first.")
@click.option(
    "--streams",
    type=click.IntRange(1, 128),
    default=1,
    show_default=True,
    metavar="N",
    help="Parallel streams of a throughput test.",
)
@click.option("--congestion", metavar="NAME", help="Congestion control of the sending host, such as bbr.")
@click.option("--udp", is_flag=True, help="Send UDP at a rate, and count losses and jitter.")
@click.option("--rate", callback=_rate, metavar="RATE", help="Rate of --udp in bit/s, of all streams.  [default: 10M]")
@click.option("--path", is_flag=True, help="Trace the path to HOST, and measure nothing else.")
@click.option(
    "--path-method",
    type=click.Choice(["udp", "icmp", "tcp"]),
    default="udp",
    show_default=True,
    help="The packets that trace the path; --port is where UDP (33434) and TCP (443) ones go.",
)
@click.option(
    "--flows", type=click.IntRange(1, 8), default=4, show_default=True, help="Flows of --path, to find parallel paths."
)
@click.option("-4", "family", flag_value=_IPV4, type=int, help="Use IPv4.")
@click.option("-6", "family", flag_value=_IPV6, type=int, help="Use IPv6.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, and nothing else.")
@click.option("--save", type=_FILE, metavar="FILE", help="Write the JSON document to FILE too.")
@click.option(
    "--against",
    type=_FILE,
    metavar="FILE",
    help="Say what changed since the test in FILE (of --save), and whether by more than noise.",
)
@click.pass_context
def test(
    context: click.Context,
    hosts: tuple[str, ...],
    *,
    latency: bool,
    throughput: bool,
    method: str,
    count: int,
    interval: float,
    timeout: float,
    port: int | None,
    tcp_port: int | None,
    key_file: Path | None,
    iperf3_port: int,
    duration: float | None,
    until_converged: bool,
    reverse: bool,
    bidir: bool,
    streams: int,
    congestion: str | None,
    udp: bool,
    rate: float | None,
    path: bool,
    path_method: str,
    flows: int,
    family: int | None,
    as_json: bool,
    save: Path | None,
    against: Path | None,
) -> None:
    """Measure the link to HOST by hand, now, without broker or collector; several HOSTs in turn, side by side.

    Latency by STAMP against a site with a reflector (`linkweather reflector`), by ICMP echo against any
    other host, else by TCP connect time; the summary says which and why. Then throughput, if HOST runs
    `iperf3 -s`; --udp, --bidir and --congestion ask for it. Ctrl-C ends early, with a summary of what was
    measured until then.

    Exit status: 0 done; 1 no reply at all, or throughput was asked for and not measured; 2 wrong usage.
    """
    if path:
        if len(hosts) > 1:
            raise click.UsageError("--path traces one host at a time: name one")
        if save or against:
            raise click.UsageError("--path is neither saved nor compared: leave out --save and --against")
        if latency or throughput:
            raise click.UsageError("--path measures nothing else: leave out --latency and --throughput")
        context.exit(_trace(hosts[0], path_method, port, flows, family or _ANY_FAMILY, as_json=as_json))
    from probes.byhand import command  # noqa: PLC0415 - the help stays quick
    from probes.byhand.methods import MethodName  # noqa: PLC0415
    from probes.byhand.options import Load, Options  # noqa: PLC0415
    from probes.latency.keys import read_key  # noqa: PLC0415

    if rate is not None and not udp:
        raise click.UsageError("--rate is that of --udp: give both, or neither")
    if congestion is not None and udp:
        raise click.UsageError("--congestion is TCP's: leave it out with --udp")
    asked = throughput or udp or bidir or congestion is not None
    options = Options(
        host=hosts[0],
        latency=latency or not throughput,
        throughput=True if asked else False if latency else None,
        method=None if method == "auto" else cast("MethodName", method),
        count=count,
        interval_s=interval,
        timeout_s=timeout,
        port=port,
        tcp_port=tcp_port,
        load=Load(
            port=iperf3_port,
            reverse=reverse,
            both=bidir,
            duration_s=duration,
            until_converged=until_converged,
            streams=streams,
            congestion=congestion,
            udp_rate_bps=(DEFAULT_UDP_BPS if rate is None else rate) if udp else None,
        ),
        key=read_key(key_file) if key_file else None,
        family=family or _ANY_FAMILY,
    )
    tests = [replace(options, host=host) for host in hosts]
    context.exit(command.perform(tests, as_json=as_json, save=save, against=against))


def _trace(host: str, method: str, port: int | None, flows: int, family: int, *, as_json: bool) -> int:
    from linkweather.mesh import TRACEROUTE_PORT, PathMethod  # noqa: PLC0415 - the help stays quick
    from probes.byhand import path  # noqa: PLC0415
    from probes.path.lines import Request  # noqa: PLC0415

    usual = 443 if method == "tcp" else TRACEROUTE_PORT
    request = Request(host=host, method=cast("PathMethod", method), port=port or usual, flows=flows, family=family)
    return path.perform(request, as_json=as_json)


@click.command()
@click.option(
    "--bind",
    multiple=True,
    metavar="ADDR",
    help="Answer at this address; one IPv4 and one IPv6 at most.  [default: all of this machine]",
)
@click.option("--port", type=_PORT, default=8620, show_default=True, help="UDP port to answer at.")
@click.option(
    "--key-file", type=_FILE, help="64 hexadecimal digits in a file of yours alone: answer only authenticated requests."
)
@click.option(
    "--stateless", is_flag=True, help="Keep no count of the replies: then nobody can tell the direction of a loss."
)
@click.option(
    "--allow",
    multiple=True,
    callback=_prefixes,
    metavar="PREFIX",
    help="Answer only these, such as 192.0.2.0/24; they may send TWAMP-Light's short requests as well.  [default: all]",
)
def reflector(
    bind: tuple[str, ...], port: int, key_file: Path | None, *, stateless: bool, allow: tuple[str, ...]
) -> None:
    """Answer latency probes (STAMP, RFC 8762) until Ctrl-C, and nothing else."""
    from probes.byhand import answering  # noqa: PLC0415 - the help stays quick

    answering.answer(port, bind=bind, key_file=key_file, allow=allow or None, stateless=stateless)
