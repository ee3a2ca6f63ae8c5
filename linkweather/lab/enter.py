"""`python -m linkweather.lab.enter NAMESPACE -- COMMAND …`: becomes a command inside a site.

The command gets SIGTERM when the process that started it dies, so that it does not outlive its lab.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

from linkweather.errors import OperatorError
from linkweather.lab import namespaces

_PR_SET_PDEATHSIG = 1
_NOT_FOUND = 127


def become(namespace: str, command: Sequence[str]) -> None:
    """Replace this process by a command inside a namespace. Raises OperatorError when either is not there."""
    try:
        namespaces.enter(namespace)
    except OSError:
        raise OperatorError("the lab of this site has ended") from None
    try:
        os.execvp(command[0], list(command))  # noqa: S606  # no shell is wanted
    except OSError as error:
        raise OperatorError(f"{command[0]}: cannot be run: {error.strerror}") from None


def main() -> int:
    """Enter and become the command, or say why not."""
    namespace, _, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        become(namespace, command)
    except OperatorError as error:
        sys.stderr.write(f"Error: {error}\n")
    return _NOT_FOUND


if __name__ == "__main__":
    sys.exit(main())
