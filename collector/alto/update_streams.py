"""Update streams (RFC 8895): the resources that one client follows, and the events with their changes. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from collector.alto import alto_protocol as alto
from collector.alto.request_fields import Fields
from collector.alto.resources import FOLLOWED, Resource, ResourceRequest
from collector.alto.view import View
from collector.api.api_requests import ApiError
from linkweather.containment import note_overflow
from linkweather.wire.server_sent_events import event_bytes

# RFC 8895 §6.5: a substream's id has the format of a resource's.
_SUBSTREAM = re.compile(r"[0-9A-Za-z:@_.-]{1,64}")
_ORDER = {name: place for place, name in enumerate(FOLLOWED)}
SUBSTREAMS_MAX = 64


@dataclass(frozen=True, slots=True)
class UpdateEvent:
    """One server-sent event: a document of a media type, and the substream that it is for."""

    media: str
    document: Any
    substream: str | None = None

    def encode(self) -> bytes:
        """The event as it is sent (RFC 8895 §5.2)."""
        name = self.media if self.substream is None else f"{self.media},{self.substream}"
        return event_bytes(name, json.dumps(self.document).encode())


@dataclass(slots=True)
class _Followed:
    resource: Resource
    request: ResourceRequest
    incremental: bool
    tag: str | None
    document: dict[str, Any] | None = None


class UpdateStream:
    """The substreams of one client. `events` returns what changed since the last call."""

    def __init__(self, asked: Fields, requester: str, view: View) -> None:
        self._requester = requester
        self._followed: dict[str, _Followed] = {}
        self._control: list[dict[str, Any]] = []
        asked.object("add")
        self._followed = self._read(asked, view)
        if not self._followed:
            raise alto.invalid("add", {})

    @property
    def over(self) -> bool:
        """Whether the last substream has been removed."""
        return not self._followed

    def control(self, asked: Fields, view: View) -> None:
        """Apply a request to the control URI (RFC 8895 §7), all of it or nothing. Raises AltoError."""
        if "add" not in asked and "remove" not in asked:
            raise alto.missing("add")
        removed = self._removed(asked) if "remove" in asked else []
        added = self._read(asked, view) if "add" in asked else {}
        for name in removed:
            del self._followed[name]
        self._followed |= added
        for key, names in (("stopped", removed), ("started", list(added))):
            if names:
                self._control.append({key: names})

    def events(self, view: View) -> Iterator[UpdateEvent]:
        """Confirmations of control, then changed documents, each after those that it depends on."""
        for confirmation in self._control:
            yield UpdateEvent(alto.UPDATE_CONTROL, confirmation)
        self._control.clear()
        for name, followed in sorted(self._followed.items(), key=lambda item: _ORDER[item[1].resource.id]):
            yield from _change(name, followed, view)

    def _removed(self, asked: Fields) -> list[str]:
        names = asked.texts("remove")
        for name in names:
            if name not in self._followed:
                raise alto.invalid("remove", name)
        return names or list(self._followed)  # RFC 8895 §7.2: an empty list ends the stream

    def _read(self, asked: Fields, view: View) -> dict[str, _Followed]:
        add = asked.object("add")
        self._check_names(add.values)
        return {name: _read(add.object(name), self._requester, view) for name in add.values}

    def _check_names(self, names: Iterable[str]) -> None:
        for count, name in enumerate(names, len(self._followed) + 1):
            if not _SUBSTREAM.fullmatch(name) or name in self._followed:
                raise alto.invalid("add", name)
            if count > SUBSTREAMS_MAX:
                note_overflow("alto substreams")
                raise ApiError(413, f"a stream may have at most {SUBSTREAMS_MAX} substreams")


def _read(asked: Fields, requester: str, view: View) -> _Followed:
    name = asked.text("resource-id")
    if name not in FOLLOWED:
        raise alto.invalid(asked.name("resource-id"), name)
    resource = FOLLOWED[name]
    parameters = Fields({}) if resource.accepts is None else asked.object("input")
    followed = _Followed(
        resource,
        ResourceRequest(parameters, requester),
        asked.flag("incremental-changes", default=True),
        asked.text("tag") if "tag" in asked else None,
    )
    _answer(followed, view)  # invalid input is an error now, not at the first event
    return followed


def _answer(followed: _Followed, view: View) -> dict[str, Any]:
    answer = followed.resource.answer(view, followed.request)
    assert isinstance(answer, dict), "a followed resource is one document"  # noqa: S101 – the table says so
    return answer


def _change(name: str, followed: _Followed, view: View) -> Iterator[UpdateEvent]:
    document = _answer(followed, view)
    tag, before = document["meta"]["vtag"]["tag"], followed.document
    changed = tag != followed.tag
    if changed or before is None:
        followed.tag, followed.document = tag, document
    if not changed:
        return  # also where the client has this version already (RFC 8895 §6.5: tag)
    if before is not None and followed.incremental:
        yield UpdateEvent(alto.MERGE_PATCH, merge_patch(before, document), name)
    else:
        yield UpdateEvent(followed.resource.media, document, name)


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that makes `new` of `old`; patches cannot express nulls, and no document here has any."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            inner = merge_patch(before, value)
            if inner:
                patch[key] = inner
        elif key not in old or before != value:
            patch[key] = value
    return patch
