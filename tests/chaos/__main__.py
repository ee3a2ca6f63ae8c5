"""Chaos as a program: whole runs from seeds, and single cases by name; at the end of each a ledger that must balance.

    make chaos ARGS="--seed 7 --faults 100"
    make chaos ARGS="--case outbox-restored --case journal-gone"
    .venv/bin/python -m tests.chaos [--seed N]... [--faults N] [--case NAME]... [--keep]

Without --seed and --case: three seeds, then every case. Exit status: 0 everything balances, 1 it does not (the files
are kept, and their folder is named).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.cases import CASES
from tests.chaos.chaos_run import run, scheduled
from tests.chaos.stage import Scenario

SEEDS = (1, 2, 3)
GAP_S = (0.2, 2.5)


def main() -> int:
    """Run what is asked for; 1 when any of it does not balance."""
    options = parser().parse_args()
    return max(
        [one(name, scenario, seed, keep=options.keep) for name, scenario, seed in asked(options)],
        default=0,
    )


def parser() -> argparse.ArgumentParser:
    """The options, and every case by name."""
    listed = "\n".join(f"  {name:24}{scenario.help}" for name, scenario in CASES.items())
    made = argparse.ArgumentParser(
        description=__doc__, epilog=f"cases:\n{listed}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--seed", type=int, action="append", help="may be given several times; a case takes the first")
    made.add_argument("--faults", type=int, default=100, help="of each seed")
    made.add_argument("--case", choices=CASES, action="append", metavar="NAME", help="may be given several times")
    made.add_argument("--keep", action="store_true", help="keep the files of every run")
    return made


def asked(options: argparse.Namespace) -> Iterator[tuple[str, Scenario, int]]:
    """The runs that the options ask for: a name, what is broken, and the seed."""
    seeds = options.seed or SEEDS
    if not options.case:
        yield from (("schedule", scheduled(options.faults, GAP_S), seed) for seed in seeds)
    for name in options.case or ([] if options.seed else CASES):
        yield name, CASES[name], seeds[0]


def one(name: str, scenario: Scenario, seed: int, *, keep: bool) -> int:
    """One run; 0 when it balances, or cannot be made here."""
    if scenario.needs_disks and os.geteuid() != 0:
        say(f"{name}: left out, as mounting small disks needs root")
        return 0
    folder = Path(tempfile.mkdtemp(prefix=f"linkweather-chaos-{name}-{seed}-"))
    say(f"{name} (seed {seed}): {scenario.help}; files in {folder}")
    outcome = run(folder, scenario, seed, say)
    for line in outcome.balance.table():
        say(line)
    for complaint in outcome.complaints:
        say(f"DOES NOT BALANCE: {complaint}")
    say(f"ended by themselves: {', '.join(outcome.ended) or 'none'}")
    say(f"{name} (seed {seed}): {'FAILED' if outcome.complaints else 'nothing is lost uncounted'}")
    if not (keep or outcome.complaints):
        shutil.rmtree(folder)
    return int(bool(outcome.complaints))


def say(text: str) -> None:
    """Print at once, whoever reads it."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
