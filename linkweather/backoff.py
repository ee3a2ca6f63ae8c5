"""How long to wait before trying again: each failure doubles the wait, up to a bound; a success starts over.

A room of its own because everything that tries again uses it: the MQTT connection, the publisher, the embedded broker,
the journal, the sinks and the clients.
"""

from __future__ import annotations

import random

FIRST_S = 0.5
MOST_S = 15.0


class Backoff:
    """The waits after failures in a row. `wait_s` is the next one; without `rng` it is `first_s`, twice that, ….

    With `rng` each wait is shortened by up to half, at random, so that many that failed at once do not return at once.
    """

    def __init__(self, first_s: float = FIRST_S, most_s: float = MOST_S, rng: random.Random | None = None) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._rng = rng
        self.reset()

    def reset(self) -> None:
        """Start over after a success."""
        self._step_s = self._first_s
        self._draw()

    def fail(self) -> None:
        """Double the wait after a failure."""
        self._step_s = min(2 * self._step_s, self._most_s)
        self._draw()

    def next_s(self) -> float:
        """The wait after this failure; the one after the next failure is longer."""
        wait_s = self.wait_s
        self.fail()
        return wait_s

    def _draw(self) -> None:
        self.wait_s = self._step_s * (1.0 if self._rng is None else self._rng.uniform(0.5, 1.0))
