"""How a request is refused: a status, one sentence, and what it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from linkweather.errors import UnitError
from linkweather.mesh import Mesh, NoSuchSite
from linkweather.models.state import ErrorAnswer


class ApiError(Exception):
    """Ends a request with a status and one sentence."""

    def __init__(self, status: int, sentence: str, field: str | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.answer = ErrorAnswer(error=sentence, field=field)


def read_field(name: str, read: Callable[..., Any], text: str, *more: Any) -> Any:
    """What `read` makes of a parameter. Raises ApiError with its sentence."""
    try:
        return read(text, *more)
    except UnitError as error:
        raise ApiError(422, f"{name} = {error}", name) from None


def site_id(mesh: Mesh, field: str, name: str, status: int = 404) -> str:
    """The id of the site that `name` names, by id or compute_id. Raises ApiError."""
    try:
        return mesh.site_id(name)
    except NoSuchSite as error:
        raise ApiError(status, f"{field} = {name!r}: {error}", field) from None
