"""A harness under atheris: `python -m tests.fuzz.guided NAME [options of libFuzzer]`.

A room of its own because atheris must instrument our modules as they are imported.
"""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["linkweather", "probes", "collector"]):
        harnesses = importlib.import_module("tests.fuzz.harnesses")
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, harnesses.HARNESSES[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
