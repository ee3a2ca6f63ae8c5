"""`python -m tests.fuzz [NAME…] --for 60`: fuzz decoders, so many seconds each, by atheris where it is installed.

atheris (`pip install linkweather[fuzz]`) looks for new branches, our own mutations know none. What ends a harness is
written to `crash-NAME` in the current folder; put it into tests/fuzz/corpus/NAME once it is mended.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.harnesses import HARNESSES
from tests.fuzz.mutation import CORPUS, corpus, mutants


def main() -> int:
    """Exit status 1: a harness found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*HARNESSES, []])
    parser.add_argument("--for", dest="seconds", type=int, default=60)
    parser.add_argument("--own", action="store_true", help="our own mutations, also where atheris is installed")
    given = parser.parse_args()
    guided = importlib.util.find_spec("atheris") is not None and not given.own
    return max((guide if guided else mutate)(name, given.seconds) for name in given.names or HARNESSES)


def mutate(name: str, seconds: float) -> int:
    """Run a harness over mutants of its corpus."""
    began, count = time.monotonic(), 0
    for data in mutants([*corpus(name).values()], random.Random()):
        if time.monotonic() - began > seconds:
            break
        count += 1
        try:
            HARNESSES[name](data)
        except Exception as error:  # noqa: BLE001 - it is what we look for
            Path(f"crash-{name}").write_bytes(data)
            print(f"{name}: {type(error).__name__}: {error}; the input is in crash-{name}")
            return 1
    print(f"{name}: {count} inputs in {seconds} s, nothing found")
    return 0


def guide(name: str, seconds: int) -> int:
    """Run a harness under libFuzzer, in a process of its own, which ends it as it likes."""
    with tempfile.TemporaryDirectory() as grown:
        options = (f"-max_total_time={seconds}", f"-artifact_prefix=crash-{name}-", "-max_len=4096", "-timeout=20")
        command = (sys.executable, "-m", "tests.fuzz.guided", name, *options, grown, str(CORPUS / name))
        status = subprocess.run(command, check=False).returncode
        print(f"{name}: {len(list(Path(grown).iterdir()))} inputs that reach something new, exit status {status}")
    return int(status != 0)


if __name__ == "__main__":
    raise SystemExit(main())
