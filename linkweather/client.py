"""The collector's HTTP API from Python: `Client("http://127.0.0.1:8484").links()`."""

from __future__ import annotations

from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from linkweather.answers import ErrorAnswer, HistoryAnswer, LinkAnswer, MeshAnswer, SiteAnswer
from linkweather.errors import OperatorError

DEFAULT_API = "http://127.0.0.1:8484"
TIMEOUT_S = 10.0
_NOT_FOUND = 404

Answer = TypeVar("Answer")
_LINKS = TypeAdapter(list[LinkAnswer])
_SITES = TypeAdapter(list[SiteAnswer])


class CollectorAway(Exception):  # noqa: N818 – a state of the world and nobody's error
    """The collector does not answer, or not as a collector does; its text is one sentence."""


class NotFound(Exception):  # noqa: N818 – an answer
    """The mesh has no such site or link; its text is the collector's sentence."""


class Client:
    """A synchronous client of one collector; a context manager, or `close()` it.

    Every method raises CollectorAway when no collector answers, and OperatorError, with the
    collector's own sentence, when it refuses what was asked.
    """

    def __init__(self, api: str = DEFAULT_API, *, token: str | None = None) -> None:
        """`token` lets `push_mesh` in from another machine. Raises OperatorError for an impossible URL."""
        self._api = api
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            url = httpx.URL(api)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in {"http", "https"} or not url.host:
            raise OperatorError(f"api = {api!r}: must be http://host[:port] or https://host[:port]")
        # No proxy of the environment: the collector is usually on loopback.
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def links(self) -> list[LinkAnswer]:
        """Every link of the mesh, also those never measured."""
        return self._read(_LINKS, self._ask("GET", "/api/v1/links"))

    def link(self, src: str, dst: str) -> LinkAnswer:
        """One link. Raises NotFound."""
        return self._read(TypeAdapter(LinkAnswer), self._ask("GET", f"/api/v1/links/{src}/{dst}"))

    def history(self, src: str, dst: str, metric: str, *, since: str = "1h", step: str = "10s") -> HistoryAnswer:
        """One metric of one link over time; `since` is RFC 3339 or how long ago (`15m`). Raises NotFound."""
        asked = {"metric": metric, "since": since, "step": step}
        answer = self._ask("GET", f"/api/v1/links/{src}/{dst}/history", params=asked)
        return self._read(TypeAdapter(HistoryAnswer), answer)

    def sites(self) -> list[SiteAnswer]:
        """Every site of the mesh, also those never heard."""
        return self._read(_SITES, self._ask("GET", "/api/v1/sites"))

    def mesh(self) -> MeshAnswer:
        """The mesh in force."""
        return self._read(TypeAdapter(MeshAnswer), self._ask("GET", "/api/v1/mesh"))

    def push_mesh(self, text: str) -> MeshAnswer:
        """Put a mesh, as TOML text, into force."""
        answer = self._ask("PUT", "/api/v1/mesh", content=text, headers={"Content-Type": "application/toml"})
        return self._read(TypeAdapter(MeshAnswer), answer)

    def _ask(self, method: str, path: str, **what: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **what)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise CollectorAway(f"the collector at {self._api} does not answer ({reason})") from None
        if answer.is_client_error:
            raise self._refusal(answer)
        if not answer.is_success:
            raise CollectorAway(f"the collector at {self._api} failed with HTTP status {answer.status_code}")
        return answer

    def _refusal(self, answer: httpx.Response) -> Exception:
        try:
            sentence = ErrorAnswer.model_validate_json(answer.content).error
        except ValidationError:
            return self._stranger()
        return NotFound(sentence) if answer.status_code == _NOT_FOUND else OperatorError(sentence)

    def _read(self, form: TypeAdapter[Answer], answer: httpx.Response) -> Answer:
        try:
            return form.validate_json(answer.content)
        except ValidationError:
            raise self._stranger() from None

    def _stranger(self) -> CollectorAway:
        return CollectorAway(f"what answers at {self._api} is no linkweather collector")


def as_json(answers: BaseModel | list[Any]) -> Any:
    """Answers as plain JSON values, as the API gave them."""
    if isinstance(answers, BaseModel):
        return answers.model_dump(mode="json")
    return [as_json(answer) for answer in answers]
