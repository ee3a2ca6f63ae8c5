"""The commands `test` and `reflector`. What they run is imported when they run it, so that their help is quick."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from linkweather.cli.options import FILE, PORT
from probes.adhoc.arguments import AUTO, DEFAULT_UDP_BPS, family, test_options
from probes.adhoc.option_rules import contradiction

if TYPE_CHECKING:
    from probes.adhoc.adhoc_job import AdhocOptions, LoadOptions


@click.command()
@test_options
@click.pass_context
def test(context: click.Context, /, hosts: tuple[str, ...], *, path: bool, **given: Any) -> None:
    """Measure the link to HOST now, without broker or collector; several HOSTs side by side.

    Latency by STAMP against a site with a reflector (`linkweather reflector`), by ICMP echo against any
    other host, else by TCP connect time; the summary says which and why. Then throughput, if HOST runs
    `iperf3 -s`; --udp, --bidir and --congestion ask for it. Of several HOSTs the latency is measured at
    the same time, the throughput of one after the other. Ctrl-C ends early, with a summary of what was
    measured until then.

    Exit status: 0 done; 1 no reply at all, or throughput was asked for and not measured; 2 wrong usage.
    """
    values = {"path": path, **given}
    written = {name for name in values if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    if wrong := contradiction(values, written):
        raise click.UsageError(wrong)
    if path:
        context.exit(_trace(hosts, given))
    from probes.adhoc import adhoc_run  # noqa: PLC0415 - the help stays quick

    tests = [_options(host, given) for host in hosts]
    context.exit(adhoc_run.perform(tests, as_json=given["as_json"], save=given["save"], against=given["against"]))


def _options(host: str, given: dict[str, Any]) -> AdhocOptions:
    """What is asked for of one host. Raises click.UsageError where options do not go together."""
    from linkweather.keys.mesh_key import read_keys  # noqa: PLC0415
    from probes.adhoc.adhoc_job import AdhocOptions  # noqa: PLC0415 - the help stays quick

    latency, throughput = given["latency"], given["throughput"]
    asked = throughput or given["udp"] or given["bidir"] or given["congestion"] is not None
    return AdhocOptions(
        host=host,
        latency=latency or not throughput,
        throughput=True if asked else False if latency else None,
        method=None if given["method"] == AUTO else given["method"],
        method_options=_method_options(given),
        count=given["count"],
        interval_s=given["interval"],
        timeout_s=given["timeout"],
        port=given["port"],
        tcp_port=given["tcp_port"],
        load=_load(given),
        key=read_keys(given["key_file"])[0] if given["key_file"] else None,
        family=family(given),
    )


def _method_options(given: dict[str, Any]) -> dict[str, str | int | float | bool]:
    options: dict[str, str | int | float | bool] = given["method_options"] | (
        {"url": given["url"]} if given["url"] is not None else {}
    )
    if options and given["method"] == AUTO:
        raise click.UsageError("--url and --option are a method's own: name it with --method")
    return options


def _load(given: dict[str, Any]) -> LoadOptions:
    from probes.adhoc.adhoc_job import LoadOptions  # noqa: PLC0415 - the help stays quick

    rate_bps, udp = given["rate"], given["udp"]
    return LoadOptions(
        port=given["iperf3_port"],
        reverse=given["reverse"],
        both=given["bidir"],
        duration_s=given["duration"],
        until_converged=given["until_converged"],
        streams=given["streams"],
        congestion=given["congestion"],
        udp_rate_bps=(DEFAULT_UDP_BPS if rate_bps is None else rate_bps) if udp else None,
    )


def _trace(hosts: tuple[str, ...], given: dict[str, Any]) -> int:
    from linkweather.mesh import TRACEROUTE_PORT  # noqa: PLC0415 - the help stays quick
    from probes.adhoc import adhoc_path  # noqa: PLC0415
    from probes.path.tracer_lines import TraceRequest  # noqa: PLC0415

    if len(hosts) > 1:
        raise click.UsageError("--path traces one host at a time: name one")
    if given["save"] or given["against"]:
        raise click.UsageError("--path is neither saved nor compared: leave out --save and --against")
    if given["latency"] or given["throughput"]:
        raise click.UsageError("--path measures nothing else: leave out --latency and --throughput")
    method = given["path_method"]
    port = given["port"] or (443 if method == "tcp" else TRACEROUTE_PORT)
    request = TraceRequest(
        host=hosts[0], method=method, port=port, flows=given["flows"], max_hops=given["max_hops"], family=family(given)
    )
    return adhoc_path.perform(request, as_json=given["as_json"])


def _prefixes(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(value)) for value in values)
    except ValueError as error:
        raise click.BadParameter(f"{error}: name prefixes such as 192.0.2.0/24", context, option) from None


@click.command()
@click.option(
    "--bind",
    multiple=True,
    metavar="ADDR",
    help="Answer at this address; one IPv4 and one IPv6 at most.  [default: all of this machine]",
)
@click.option("--port", type=PORT, default=8620, show_default=True, help="UDP port to answer at.")
@click.option(
    "--key-file", type=FILE, help="64 hexadecimal digits in a file of yours alone: answer only authenticated requests."
)
@click.option(
    "--stateless", is_flag=True, help="Keep no count of the replies: then the direction of a loss is unknown."
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
    from probes.adhoc import reflector_run  # noqa: PLC0415 - the help stays quick

    reflector_run.answer(port, bind=bind, key_file=key_file, allow=allow or None, stateless=stateless)
