"""The options of `linkweather test`: their names, bounds and help, and nothing that takes long to import."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from typing import Any

import click

from linkweather.cli.options import FILE, PORT, duration_between, rate_between

# A shorter interval is a flood: at most 1,000 probes leave in a second.
SHORTEST_INTERVAL_S = 0.001
SLOWEST_BPS, DEFAULT_UDP_BPS, FASTEST_BPS = 1e3, 10e6, 100e9
_ANY_FAMILY, _IPV4, _IPV6 = 0, 2, 10  # AF_UNSPEC, AF_INET, AF_INET6

AUTO = "auto"  # the first method that the host answers


def _method(context: click.Context, option: click.Parameter, value: str) -> str:
    """A registered method, or `auto`. Which are installed is looked up when one is named, so that help is quick."""
    if value == AUTO:
        return AUTO
    from linkweather import plugins  # noqa: PLC0415 - the help stays quick

    installed = plugins.names(plugins.PROBERS)
    if value not in installed:
        problem = f"{value!r} is no installed method: {', '.join([AUTO, *installed])}."
        raise click.BadParameter(problem, context, option)
    return value


def _method_options(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[str, str | int | float | bool]:
    """A method's own options, NAME=VALUE each: the values as in the mesh file, where text needs no quotes."""
    options: dict[str, str | int | float | bool] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE.", context, option)
        try:
            parsed = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = text
        options[name] = parsed if isinstance(parsed, str | int | float | bool) else text
    return options


_OPTIONS: tuple[Callable[[Callable[..., None]], Callable[..., None]], ...] = (
    click.argument("hosts", metavar="HOST…", nargs=-1, required=True),
    click.option("--latency", is_flag=True, help="Measure latency only, unless --throughput is given too."),
    click.option("--throughput", is_flag=True, help="Measure throughput only, unless --latency is given too."),
    click.option(
        "--method",
        callback=_method,
        default=AUTO,
        show_default=True,
        metavar="NAME",
        help="How latency is measured: stamp, icmp, tcp, http, or another installed prober; auto takes the first of"
        " stamp, icmp and tcp that HOST answers, STAMP within 0.5 s.",
    ),
    click.option("--url", metavar="URL", help="What --method http asks for.  [default: https://HOST/]"),
    click.option(
        "--option",
        "method_options",
        callback=_method_options,
        multiple=True,
        metavar="NAME=VALUE",
        help="An option of the --method, as in a site's options in the mesh file; may be given again.",
    ),
    click.option(
        "--count",
        type=click.IntRange(min=1, max=1_000_000),
        default=50,
        show_default=True,
        help="Latency probes to send.",
    ),
    click.option(
        "--interval",
        type=duration_between(SHORTEST_INTERVAL_S, 3600),
        default="100ms",
        show_default=True,
        metavar="TIME",
        help="From probe to probe, at least 1ms; a number alone is seconds.",
    ),
    click.option(
        "--timeout",
        type=duration_between(0.001, 60),
        default="1s",
        show_default=True,
        metavar="TIME",
        help="A reply that takes longer is late.",
    ),
    click.option(
        "--port",
        type=PORT,
        help="Port of whichever method is used: the reflector's UDP port (8620 when"
        " not given), or the TCP port to connect to (443).",
    ),
    click.option("--tcp-port", type=PORT, help="TCP port to connect to, where --port is the reflector's."),
    click.option("--key-file", type=FILE, help="64 hexadecimal digits: authenticated STAMP."),
    click.option("--iperf3-port", type=PORT, default=5201, show_default=True, help="Port of `iperf3 -s` at HOST."),
    click.option(
        "--duration",
        type=duration_between(0.5, 60),
        metavar="TIME",
        help="A throughput test ends after it.  [default: 10s where the test can converge, else 3s]",
    ),
    click.option(
        "--until-converged/--no-until-converged",
        default=True,
        help="Stop as soon as the estimate has converged (default; not with --udp, nor for data to HOST,"
        " which is seen there only), or take the whole duration.",
    ),
    click.option("--reverse/--forward", default=True, help="Data flows from HOST to here (default), or to HOST."),
    click.option("--bidir", is_flag=True, help="Test the other direction too, after the first."),
    click.option(
        "--streams",
        type=click.IntRange(1, 128),
        default=1,
        show_default=True,
        metavar="N",
        help="Parallel streams of a throughput test.",
    ),
    click.option("--congestion", metavar="NAME", help="Congestion control of the sending host, such as bbr."),
    click.option("--udp", is_flag=True, help="Send UDP at a rate, and count losses and jitter."),
    click.option(
        "--rate",
        type=rate_between(SLOWEST_BPS, FASTEST_BPS),
        metavar="RATE",
        help="Rate of --udp in bit/s, of all streams.  [default: 10M]",
    ),
    click.option("--path", is_flag=True, help="Trace the path to HOST, and measure nothing else."),
    click.option(
        "--path-method",
        type=click.Choice(["udp", "icmp", "tcp"]),
        default="udp",
        show_default=True,
        help="The packets that trace the path; --port is where UDP (33434) and TCP (443) ones go.",
    ),
    click.option(
        "--flows",
        type=click.IntRange(1, 8),
        default=4,
        show_default=True,
        help="Flows of --path, to find parallel paths.",
    ),
    click.option(
        "--max-hops",
        type=click.IntRange(1, 64),
        default=30,
        show_default=True,
        metavar="N",
        help="How many hops --path goes at most.",
    ),
    click.option("-4", "ipv4", is_flag=True, help="Use IPv4."),
    click.option("-6", "ipv6", is_flag=True, help="Use IPv6."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document, and nothing else."),
    click.option("--save", type=FILE, metavar="FILE", help="Write the JSON document to FILE too."),
    click.option(
        "--against",
        type=FILE,
        metavar="FILE",
        help="Say what changed since the test in FILE (of --save), and whether by more than noise.",
    ),
)


def test_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the hosts and all options of an ad hoc test, in this order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def family(values: Mapping[str, Any]) -> int:
    """The address family that was asked for; zero is any."""
    return _IPV4 if values["ipv4"] else _IPV6 if values["ipv6"] else _ANY_FAMILY
