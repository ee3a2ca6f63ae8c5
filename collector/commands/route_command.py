"""`linkweather route`: which path data should take, for one pair or for all."""

from __future__ import annotations

from typing import Any, get_args

import click

from linkweather.cli.asking import api_option, asking, print_json
from linkweather.cli.options import SIZE, json_option
from linkweather.cli.output import echo
from linkweather.cli.tables import route_table, routes_table
from linkweather.cli.terminal import terminal
from linkweather.errors import OperatorError
from linkweather.models.routes import Objective, RelayMode


@click.command(short_help="Say which path data should take now.")
@click.argument("src", required=False)
@click.argument("dst", required=False)
@click.option("--objective", type=click.Choice(get_args(Objective)), help="latency; with --bytes, completion.")
@click.option("--bytes", "size", type=SIZE, metavar="SIZE", help="What is to be sent, such as 2TB or 500MiB.")
@click.option("--max-relays", type=click.IntRange(0, 2), help="Sites between, at most.  [default: 1]")
@click.option("--avoid", multiple=True, metavar="SITE", help="Not through this site; may be given again.")
@click.option(
    "--max-price", type=click.FloatRange(min=0), metavar="USD/GB", help="The sum of the sending sites' egress prices."
)
@click.option(
    "--relay-mode",
    type=click.Choice(get_args(RelayMode)),
    help="What relays do: split connections, or only forward packets.  [default: split]",
)
@json_option
@api_option
def route(
    *,
    src: str | None,
    dst: str | None,
    objective: Objective | None,
    size: int | None,
    max_relays: int | None,
    avoid: tuple[str, ...],
    max_price: float | None,
    relay_mode: RelayMode | None,
    as_json_: bool,
    api: str,
) -> None:
    """Say which path data from SRC to DST should take now, and why; without sites, for all pairs.

    Sites are named by id or compute_id. Exit status 1: there is no usable path.
    """
    wanted: Objective = objective or ("completion" if size is not None else "latency")
    conditions = {"max_relays": max_relays, "avoid": avoid, "max_price_usd_per_gb": max_price, "relay_mode": relay_mode}
    if src is None or dst is None:
        _refuse_conditions(src, {**conditions, "bytes": size})
        _all_pairs(api, wanted, as_json_=as_json_)
        return
    with asking(api) as client:
        answer = client.route(src, dst, objective=wanted, bytes=size, **conditions)  # type: ignore[arg-type]
    if as_json_:
        print_json(answer)
        return
    terminal().print(route_table(answer))
    echo(answer.why)


def _all_pairs(api: str, objective: Objective, *, as_json_: bool) -> None:
    with asking(api) as client:
        answers = client.routes(objective)
    if as_json_:
        print_json(answers)
        return
    terminal().print(routes_table(answers))
    if any(answer.relays for answer in answers.routes):
        echo("Why a pair is relayed: linkweather route SRC DST")


def _refuse_conditions(src: str | None, given: dict[str, Any]) -> None:
    if src is not None:
        raise click.UsageError("Missing argument 'DST'.")
    for name, value in given.items():
        if value not in (None, ()):
            raise OperatorError(f"{name}: is asked about one pair: name SRC and DST")
