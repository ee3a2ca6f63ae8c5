"""What a scenario is, and what it breaks things with: the running system, waits for reports, and files at rest."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests import servers
from tests.chaos.injector import Injector
from tests.chaos.mesh_of_processes import System
from tests.chaos.records import boots_waiting, watch, watch_again

SITES = ("a", "b", "c", "d")
# Files of a probe and of the collector lie on disks that have room for a run and fill up at once.
SMALL_DISKS = {"a": 16 * 2**20, "collector": 128 * 2**20}
PATIENCE_S = 120.0


@dataclass
class Stage:
    """A system that runs, and the means to break it; the same seed draws the same numbers."""

    injector: Injector
    seed: int
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    @property
    def found(self) -> System:
        return self.injector.found

    def log(self, name: str) -> Path:
        return self.found.parts[name].log

    def more(self, reports: int = 100) -> None:
        """Wait until so many more reports are committed."""
        before = self.found.committed_reports()
        self.wait(lambda: self.found.committed_reports() >= before + reports, f"{reports} more reports are committed")

    def written(self, probe: str, reports: int = 40) -> None:
        """Wait until an outbox was given so many more reports."""
        before = len(self.found.record(probe).written)
        self.wait(lambda: len(self.found.record(probe).written) >= before + reports, f"{probe} writes {reports} more")

    def said(self, name: str, text: str) -> None:
        """Wait until a part has logged this."""
        self.wait(lambda: text in self.log(name).read_text(errors="replace"), f"{name} says {text!r}")

    def watch(self, probe: str) -> None:
        """Note what the outbox of a probe is given that was never started."""
        watch(self.found.outboxes[probe].path, boot=f"boot-of-{probe}")

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds."""
        servers.wait_until(condition, what, PATIENCE_S)

    @contextmanager
    def down(self, name: str) -> Iterator[None]:
        """A part is killed, and started again after the block."""
        self.injector.kill(name)
        yield
        self.injector.start(name)

    @contextmanager
    def changed(self, probe: str, *, destroys: bool = False) -> Iterator[Path]:
        """The folder of a probe that is killed, to change its outbox in the block; whatever it becomes is watched.

        Until the new outbox is watched its probe reaches no broker. With `destroys` the block takes the only copy of
        what waits away: what waits no longer after it need not be in the journal.
        """
        self.written(probe)
        file = self.found.outboxes[probe]
        way = f"{probe} → broker"
        self.injector.ways.turn(way, "cut")
        self.injector.kill(probe)
        before = self.found.record(probe)
        self.found.earlier[probe] = before
        yield file.path.parent
        self.injector.start(probe)
        known = {boot for _, boot, _ in before.written}
        self.wait(lambda: bool(boots_waiting(file.path) - known), f"{probe} writes reports of a new boot")
        self.injector.stop(probe)
        watch_again(file.path)
        if destroys:
            gone = before.waiting - self.found.record(probe).waiting
            self.found.earlier[probe] = replace(before, destroyed=before.destroyed | gone)
        self.injector.ways.turn(way, "open")
        self.injector.start(probe)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is broken, in words and as a function, and what may come of it.

    `may_drop`: sites whose outbox may drop reports, counted; `damages_journal`: reports may be missing that the ledger
    counts; `silent_peers`: site d measures so many addresses that never answer; `needs_disks`: it breaks only `disks`.
    """

    help: str
    act: Callable[[Stage], None]
    sites: Sequence[str] = ("a", "b", "d")
    outbox_max_bytes: Mapping[str, int] = field(default_factory=dict)
    faulty: Collection[str] = ()
    may_drop: Collection[str] = ()
    damages_journal: bool = False
    silent_peers: int = 0
    disks: Mapping[str, int] = field(default_factory=dict)
    needs_disks: bool = False
