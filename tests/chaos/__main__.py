"""Chaos as a program: whole runs from seeds, a line a fault, and at the end of each a ledger that must balance.

    make chaos ARGS="--seed 7 --faults 100"
    .venv/bin/python -m tests.chaos [--seed N]... [--faults N] [--keep]

Exit status: 0 everything balances, 1 it does not (the files are kept, and their folder is named).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.chaos_run import run

SEEDS = (1, 2, 3)
GAP_S = (0.2, 2.5)


def main() -> int:
    """Run every seed; 1 when one of them does not balance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, action="append", help="may be given several times; 1, 2 and 3 otherwise")
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--keep", action="store_true", help="keep the files of every run")
    options = parser.parse_args()
    return max(one(seed, options.faults, keep=options.keep) for seed in options.seed or SEEDS)


def one(seed: int, faults: int, *, keep: bool) -> int:
    """One run; 0 when it balances."""
    folder = Path(tempfile.mkdtemp(prefix=f"linkweather-chaos-{seed}-"))
    say(f"seed {seed}, {faults} faults, files in {folder}")
    outcome = run(folder, seed, faults, GAP_S, say)
    for line in outcome.balance.table():
        say(line)
    for complaint in outcome.complaints:
        say(f"DOES NOT BALANCE: {complaint}")
    say(f"ended by themselves: {', '.join(outcome.ended) or 'none'}")
    say(f"seed {seed}: {'FAILED' if outcome.complaints else 'everything balances'}")
    if not (keep or outcome.complaints):
        shutil.rmtree(folder)
    return int(bool(outcome.complaints))


def say(text: str) -> None:
    """Print at once, whoever reads it."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
