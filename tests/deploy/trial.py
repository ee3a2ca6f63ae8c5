"""What a person types on the machines, printed as a transcript, and what must come of it."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable
from typing import Any

from tests.deploy.machines import Machine

COMMAND = "/opt/linkweather/bin/linkweather"
WAIT_S = 180.0
Row = dict[str, Any]


class Trial:
    """The machines, and what was typed on them so far."""

    def __init__(self, machines: dict[str, Machine]) -> None:
        self.machines = machines
        self.typed: dict[str, int] = {}
        self.sites: tuple[str, ...] = ()  # of the mesh
        self.began = time.monotonic()

    def type(self, name: str, command: str, *, status: int = 0) -> str:
        """Run what a person types, and print it. Raises AssertionError where it ends with another exit status."""
        self.typed[name] = self.typed.get(name, 0) + 1
        begin = time.monotonic()
        print(f"\n{begin - self.began:6.1f} s  {name}# {_shortened(command)}", flush=True)
        found, said = self.machines[name].status(command)
        lines = (line for line in said.splitlines() if not line.startswith("(Reading database"))  # dpkg's progress
        print("".join(f"          {_shortened(line)}\n" for line in lines), end="")
        print(f"          ({time.monotonic() - begin:.1f} s, status {found})", flush=True)
        assert found == status, f"{name}: {_shortened(command)}: status {found}, not {status}\n{said}{self.logs()}"
        return said

    def refused(self, name: str, command: str, sentence: str, status: int = 2) -> None:
        """Type what must be refused: by one line that has `sentence`, a regular expression."""
        said = self.type(name, command, status=status).strip()
        assert re.search(sentence, said), f"{said}\nhas not: {sentence}"
        assert len(said.splitlines()) == 1, f"{name}: more than a sentence: {said}"

    def token(self, command: str) -> str:
        """Type an `enrol` command at the collector; the line that it prints for the site."""
        found = re.search(r"linkweather init site \S+", self.type("hub", command))
        assert found, "no line for the site"
        return found[0]

    def wait(self, what: str, true: Callable[[], bool]) -> None:
        """Wait until something is true. Raises AssertionError when it does not become so."""
        begin = time.monotonic()
        while not true():
            assert time.monotonic() < begin + WAIT_S, f"{what}: not within {WAIT_S:.0f} s\n{self.logs()}"
            time.sleep(0.5)
        print(f"{time.monotonic() - self.began:6.1f} s  {what} (after {time.monotonic() - begin:.1f} s)", flush=True)

    def asked(self, question: str) -> Any:
        """What the collector answers to `linkweather QUESTION --json`; None while it does not."""
        said = self.machines["hub"].run("sh", "-c", f"{COMMAND} {question} --json 2>/dev/null", check=False)
        with contextlib.suppress(ValueError):
            return json.loads(said)
        return None

    def rows(self, question: str) -> list[Row]:
        """The rows of an answer; none while there is no answer."""
        found = self.asked(question) or []
        rows: list[Row] = found if isinstance(found, list) else found[question]
        return rows

    def wait_fresh(self, what: str) -> None:
        """Wait until the mesh's sites, and no others, have fresh links both ways."""
        wanted = {(a, b) for a in self.sites for b in self.sites if a != b}

        def fresh() -> bool:
            return {(row["src"], row["dst"]) for row in self.rows("links") if row["state"] == "fresh"} == wanted

        self.wait(f"{what}: all {len(wanted)} links are fresh", fresh)

    def logs(self) -> str:
        """The ends of the daemons' logs."""
        parts = []
        for name, machine in self.machines.items():
            said = machine.run("sh", "-c", "journalctl -q -u 'linkweather-*' -n 15 --no-pager", check=False)
            parts.append(f"--- {name}\n{said}")
        return "".join(parts)


def _shortened(line: str) -> str:
    """A token is long and secret."""
    return re.sub(r"(lw1-[\w-]{6})[\w-]+", r"\1…", line)
