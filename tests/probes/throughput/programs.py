"""An iperf3 that misbehaves on demand, and what is left of processes and files after a test."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path

import pytest

# What the fake does, by name: Python, run instead of iperf3.
FAULTS = {
    "hangs": "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)",
    "garbage": "import os; print('[  5] 0.00-0.10 sec nan MBytes \\x00 ï'); os.write(1, bytes(range(256)))",
    "flood": "import os\nwhile True: os.write(1, b'x' * 65536)",
    "dies": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "unknown version": "print('iperf three')",
    "has a child": "import subprocess as s; p = s.Popen(['sleep', '600']); print(p.pid, flush=True); p.wait()",
}


def install_fault(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an iperf3 that has this fault first on the PATH."""
    program = folder / "iperf3"
    program.write_text(f"#!{sys.executable}\n{FAULTS[name]}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def children() -> list[int]:
    """The process ids of our children, zombies too."""
    found = []
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError):  # the thread has just ended
            found += [int(number) for number in path.read_text().split()]
    return found


def runs(pid: int) -> bool:
    """Whether a process runs; an orphan that waits for init to reap it does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def files(folder: Path) -> list[Path]:
    """What is in a folder."""
    return sorted(folder.iterdir())
