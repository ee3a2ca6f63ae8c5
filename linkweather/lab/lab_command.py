"""`linkweather lab`: change, show and enter a running lab."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from linkweather.cli.options import DURATION, RATE, RATIO, json_option
from linkweather.cli.output import echo
from linkweather.cli.terminal import Terminal
from linkweather.errors import OperatorError
from linkweather.lab.control_socket import ask
from linkweather.lab.enter import become
from linkweather.lab.protocol import ChangeLink, LabState, ShowLab
from linkweather.settings import validate

DEFAULT_DATA_DIR = Path("demo-data")
_WIDEST = 1000


@click.group()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="The folder of the running demo or lab.",
)
@click.pass_context
def lab(context: click.Context, data_dir: Path) -> None:
    """Change and enter a running lab."""
    context.obj = data_dir


@lab.command()
@click.argument("src")
@click.argument("dst")
@click.option("--delay", type=DURATION, help="One-way delay, such as 50ms.")
@click.option("--jitter", type=DURATION, help="The delay varies by ± this, such as 2ms.")
@click.option("--rate", type=RATE, help="Bit/s, such as 100M.")
@click.option("--loss", type=RATIO, help="Ratio of packets lost, such as 0.1 or 10%.")
@click.option("--duplicate", type=RATIO, help="Ratio of packets that arrive twice.")
@click.option("--reorder", type=RATIO, help="Ratio of packets that overtake those under way.")
@click.option("--queue", type=DURATION, help="Longest wait in the queue, such as 100ms.")
@click.option("--via", metavar="R1,R2", help="Routers on the way; R2/R3 share the load by flow, '' removes them.")
@click.option("--cut/--restore", default=None, help="Take the link down, or up again.")
@click.option("--both", is_flag=True, help="Change the opposite direction as well.")
@click.pass_obj
def link(
    data_dir: Path,
    src: str,
    dst: str,
    *,
    delay: float | None,
    jitter: float | None,
    rate: float | None,
    loss: float | None,
    duplicate: float | None,
    reorder: float | None,
    queue: float | None,
    cut: bool | None,
    via: str | None,
    both: bool,
) -> None:
    """Change the link SRC → DST while it runs, and print the result."""
    values = {
        "src": src,
        "dst": dst,
        "both": both,
        "delay_s": delay,
        "jitter_s": jitter,
        "rate_bps": rate,
        "loss_ratio": loss,
        "duplicate_ratio": duplicate,
        "reorder_ratio": reorder,
        "queue_s": queue,
        "cut": cut,
        "via": None if via is None else [name for name in via.split(",") if name],
    }
    change = validate(values, ChangeLink, f"link {src} → {dst}")
    state = ask(data_dir, change)
    _print_links(state, set(change.pairs()))


@lab.command()
@json_option
@click.pass_obj
def show(data_dir: Path, *, as_json_: bool) -> None:
    """Print the lab's links and what they have forwarded and dropped."""
    state = ask(data_dir, ShowLab())
    if as_json_:
        echo(state.model_dump_json(indent=2))
        return
    echo(f"engine {state.engine}" + (f" ({state.note})" if state.note else ""))
    _print_links(state, {(link.src, link.dst) for link in state.links})
    if state.routers:
        echo("routers " + ", ".join(f"{name} {address}" for name, address in state.routers.items()))
    strays = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in state.strays.items() if count)
    if strays:
        echo(f"stray packets: {strays}")


@lab.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("site")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def execute(data_dir: Path, site: str, command: tuple[str, ...]) -> None:
    """Run COMMAND in SITE's network: `linkweather lab exec a -- ping 10.77.0.2`."""
    argv = command[1:] if command[0] == "--" else command
    if not argv:
        raise click.UsageError("Missing argument 'COMMAND...'.")
    state = ask(data_dir, ShowLab())
    if site not in state.sites:
        raise OperatorError(f"{site!r}: no such site; the lab has {', '.join(state.sites)}")
    become(state.sites[site].namespace or "/proc/self/ns/net", argv)


def _print_links(state: LabState, pairs: set[tuple[str, str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("link", "state"):
        table.add_column(heading)
    for heading in ("delay ms", "jitter ms", "Mbit/s", "loss %", "queue ms", "packets", "MB", "dropped"):
        table.add_column(heading, justify="right")
    for link in state.links:
        if (link.src, link.dst) in pairs:
            table.add_row(
                f"{link.src} → {link.dst}",
                "cut" if link.cut else "up",
                f"{link.delay_s * 1e3:.2f}",
                f"{link.jitter_s * 1e3:.2f}",
                f"{link.rate_bps / 1e6:g}",
                f"{link.loss_ratio * 100:g}",
                f"{link.queue_s * 1e3:g}",
                f"{link.forwarded_packets}",
                f"{link.forwarded_bytes / 1e6:.1f}",
                ", ".join(f"{count} {reason}" for reason, count in link.dropped.items() if count) or "0",
            )
    # The table has its full width: a narrow terminal wraps lines, and no figure is cut.
    Terminal(width=_WIDEST).print(table)
    for link in state.links:
        if (link.src, link.dst) in pairs and link.via:
            echo(f"{link.src} → {link.dst} via {', '.join(link.via)}")
