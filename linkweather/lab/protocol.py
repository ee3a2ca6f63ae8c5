"""What travels over a running lab's control socket: one JSON object per line, a request and its reply."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from linkweather.errors import OperatorError
from linkweather.lab.labfile import Behaviour, LabFile, Share, Via
from linkweather.mesh import Link, NotNegative, Positive, Settings, Tuple
from linkweather.settings import validate

LabEngineName = Literal["netem", "relay", "loopback"]


class LabStart(Settings):
    """Parent to lab process, on its standard input: what to set up. `engine` None: the best that works."""

    lab: LabFile
    data_dir: str
    seed: int
    engine: LabEngineName | None = None


class ShowLab(Settings):
    """Asks for the state of the lab."""

    do: Literal["show"] = "show"


class ChangeLink(Link):
    """Changes a link while it runs; None leaves a setting as it is."""

    do: Literal["change"] = "change"
    delay_s: NotNegative | None = None
    jitter_s: NotNegative | None = None
    rate_bps: Positive | None = None
    loss_ratio: Share | None = None
    duplicate_ratio: Share | None = None
    reorder_ratio: Share | None = None
    queue_s: NotNegative | None = None
    cut: bool | None = None
    via: Via | None = None

    def applied(self, behaviour: Behaviour, *, back: bool = False) -> Behaviour:
        """The behaviour after the change, with `back` that of the opposite direction. Raises OperatorError."""
        changed = self.model_dump(include=set(Behaviour.model_fields), exclude_none=True)
        if back and self.via is not None:
            changed["via"] = self.via[::-1]
        return validate(behaviour.model_dump() | changed, Behaviour, f"link {self.src} → {self.dst}")


REQUESTS: Mapping[str, type[ShowLab | ChangeLink]] = {"show": ShowLab, "change": ChangeLink}


def parse_request(line: bytes) -> ShowLab | ChangeLink:
    """Parse a request line. Raises OperatorError with what is wrong in it."""
    try:
        values = json.loads(line)
    except ValueError:
        raise OperatorError("request: is not JSON") from None
    kind = values.get("do") if isinstance(values, dict) else None
    model = REQUESTS.get(str(kind))
    if model is None:
        raise OperatorError(f"request: do = {kind!r}: must be one of {', '.join(REQUESTS)}")
    return validate(values, model, "request")


class LabSiteState(Settings):
    """A site as it runs: its addresses, and the path of its network namespace (None: the machine's own)."""

    address: str
    address6: str | None = None
    namespace: str | None = None


class LabLinkState(Behaviour):
    """A directed link as it is now, with its counters."""

    src: str
    dst: str
    cut: bool = False
    forwarded_packets: int = 0
    forwarded_bytes: int = 0
    duplicated_packets: int = 0
    reordered_packets: int = 0
    dropped: dict[str, int] = Field(default_factory=dict)


class LabState(Settings):
    """A running lab. `note` says why no better engine runs; `strays` counts packets that no link took.

    `routers` has the IPv4 address of each router.
    """

    engine: LabEngineName
    pid: int
    note: str | None = None
    sites: dict[str, LabSiteState]
    routers: dict[str, str] = Field(default_factory=dict)
    links: Annotated[tuple[LabLinkState, ...], Tuple] = ()
    strays: dict[str, int] = Field(default_factory=dict)


class LabReply(Settings):
    """The lab's reply: its state, or the reason of a refusal."""

    error: str | None = None
    state: LabState | None = None
