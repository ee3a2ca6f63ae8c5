"""`python -m linkweather.lab.enter NAMESPACE OWNER -- COMMAND …`: becomes a command inside a site.

The command gets SIGTERM when the process that started it dies, so that it does not outlive its lab. OWNER is the
process that holds the lab, usually the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from linkweather.child_processes import die_with_parent
from linkweather.errors import OperatorError
from linkweather.lab import namespaces

_NOT_FOUND = 127
_ENDED = "the lab of this site has ended"


def become(namespace: str, command: Sequence[str]) -> None:
    """Replace this process by a command inside a namespace. Raises OperatorError if either does not exist."""
    try:
        namespaces.enter(namespace)
    except OSError:
        raise OperatorError(_ENDED) from None
    try:
        os.execvp(command[0], list(command))  # noqa: S606  # no shell is wanted
    except OSError as error:
        raise OperatorError(f"{command[0]}: cannot be run: {error.strerror}") from None


def _require_alive(pid: str) -> None:
    try:
        status = Path("/proc", pid, "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise OperatorError(_ENDED) from None
    if status.rpartition(") ")[2][0] in "ZX":
        raise OperatorError(_ENDED)


def main() -> int:
    """Enter and become the command, or say why not."""
    namespace, owner, _, *command = sys.argv[1:]
    die_with_parent()
    try:
        # A parent that died before the line above no longer sends a signal.
        _require_alive(owner)
        become(namespace, command)
    except OperatorError as error:
        sys.stderr.write(f"Error: {error}\n")
    return _NOT_FOUND


if __name__ == "__main__":
    sys.exit(main())
