"""Finds the rows that a sink refuses, where it refuses a batch and does not say which. Pure logic.

A batch is halved. A half that is taken is written; where the first half is taken, the second holds what is at fault,
and is halved at once. So one bad row among n costs log₂ n to 2 log₂ n writes. Where both halves are refused, single
rows are tried, spread over the batch: if none is taken, the place refuses everything (a wrong setting, a fault of its
own), the rows are not at fault, and halving on would cost two writes a row and teach nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, Self, TypeVar

from linkweather.sink import BatchRefusedError, RowRefusal, SinkError

SAMPLES = 8


class AllRefusedError(SinkError):
    """Every row that was tried of a batch is refused; its text is the place's reason."""

    code = "refused"


class Divisible(Protocol):
    """A batch that has parts; of its `span` places not every one need have a row."""

    @property
    def first(self) -> int: ...  # noqa: D102

    @property
    def last(self) -> int: ...  # noqa: D102

    @property
    def span(self) -> int: ...  # noqa: D102

    def __len__(self) -> int: ...

    def part(self, start: int, stop: int) -> Self: ...  # noqa: D102


Part = TypeVar("Part", bound=Divisible)


def deliver(write: Callable[[Part], Sequence[RowRefusal]], batch: Part, turn: int = 0) -> list[RowRefusal]:
    """Write all of a batch but what is refused, which it returns.

    `turn` counts the attempts at this batch: each samples other rows. Raises AllRefusedError, and what `write` raises.
    """
    delivery = _Delivery(write, turn)
    error = delivery.attempt(batch)
    if error is not None:
        delivery.divide(batch, error)
    if not delivery.taken:
        raise AllRefusedError(delivery.refusals[0].reason)
    return delivery.refusals


class _Delivery(Generic[Part]):
    def __init__(self, write: Callable[[Part], Sequence[RowRefusal]], turn: int) -> None:
        self._write = write
        self._turn = turn
        self.taken = False
        self.refusals: list[RowRefusal] = []

    def attempt(self, part: Part) -> BatchRefusedError | None:
        """Write a part; returns why it is refused."""
        if not len(part):
            return None
        try:
            refusals = self._write(part)
        except BatchRefusedError as error:
            return error
        self.refusals += refusals
        refused = sum(one.rows for one in refusals if not one.beyond_limit)
        self.taken = self.taken or refused < len(part)
        return None

    def divide(self, part: Part, error: BatchRefusedError) -> None:
        """Find what is at fault in a part that was refused."""
        if part.span == 1:
            self.refusals.append(RowRefusal(part.first, part.last, 1, str(error)))
            return
        middle = part.span // 2
        left, right = part.part(0, middle), part.part(middle, part.span)
        left_error = self.attempt(left)
        # A single row is set aside only when it was refused by itself.
        known = left_error is None and right.span > 1 and not error.too_large
        right_error = error if known else self.attempt(right)
        if not self.taken and (left_error or right_error):
            self._sample(part, error)
        for half, found in ((left, left_error), (right, right_error)):
            if found is not None:
                self.divide(half, found)

    def _sample(self, part: Part, error: BatchRefusedError) -> None:
        places = {(part.span * sample // SAMPLES + self._turn) % part.span for sample in range(SAMPLES)}
        for place in sorted(places):
            row = part.part(place, place + 1)
            if len(row) and self.attempt(row) is None and self.taken:
                return
        raise AllRefusedError(str(error))
