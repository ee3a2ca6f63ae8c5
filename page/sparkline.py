"""A small curve of the newest RTTs as SVG. Pure; a room of its own, as it is the only picture that is no chart."""

from __future__ import annotations

from collections.abc import Sequence

_WIDTH, _HEIGHT, _MARGIN = 240, 36, 3


def sparkline(values: Sequence[float | None]) -> str:
    """The curve; "" of fewer than two values. What is missing interrupts it."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    across = (_WIDTH - 2 * _MARGIN) / (len(values) - 1)
    up = (_HEIGHT - 2 * _MARGIN) / ((high - low) or 1.0)
    moves, pen = [], "M"
    for number, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        moves.append(f"{pen}{_MARGIN + number * across:.1f} {_HEIGHT - _MARGIN - (value - low) * up:.1f}")
        pen = "L"
    return (
        f'<svg class="curve" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true">'
        f'<path d="{"".join(moves)}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )
