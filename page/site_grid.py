"""The grid of sites × sites in the browser. A room of its own because its other half is grid.js."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from page.matrix import Matrix, changed_cells, for_browser
from page.words import Words


class SiteGrid(ui.element, component="grid.js"):
    """Shows a grid; `on_look` hears of the row and the column that are pointed at or have the focus."""

    def __init__(self, grid: Matrix, words: Words, on_look: Callable[[str, str], None]) -> None:
        super().__init__()
        self._grid, self._words = grid, words
        self._props["grid"] = for_browser(grid, words)
        self.on("look", lambda event: on_look(*event.args))

    def show(self, grid: Matrix) -> None:
        """Show another grid: what changed, if the rest is the same."""
        changes = changed_cells(self._grid, grid)
        self._grid = grid
        if changes is None:
            self._props["grid"] = for_browser(grid, self._words)
            self.update()
        elif changes:
            cells = self._props["grid"]["cells"]
            for row, column, cell in changes:
                cells[row][column] = cell
            self.run_method("patch", changes)
