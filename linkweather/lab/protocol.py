"""What travels over a running lab's control socket: one JSON object per line, a request and its reply."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from linkweather.lab.labfile import Behaviour, LabFile, NotNegative, Positive
from linkweather.mesh import Settings, SiteId, Tuple

EngineName = Literal["netem", "relay", "loopback"]


class Start(Settings):
    """Parent to lab process, on its standard input: what to set up. `engine` None: the best that works."""

    lab: LabFile
    data_dir: str
    seed: int
    engine: EngineName | None = None


class Show(Settings):
    """Asks how the lab is now."""

    do: Literal["show"] = "show"


class Change(Settings):
    """Changes a link while it runs; None leaves a setting as it is."""

    do: Literal["change"] = "change"
    src: SiteId
    dst: SiteId
    both: bool = False
    delay_s: NotNegative | None = None
    jitter_s: NotNegative | None = None
    rate_bps: Positive | None = None
    loss_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    queue_s: NotNegative | None = None
    cut: bool | None = None

    def pairs(self) -> list[tuple[str, str]]:
        """The directed links to change."""
        return [(self.src, self.dst), (self.dst, self.src)][: 1 + self.both]

    def applied(self, behaviour: Behaviour) -> Behaviour:
        """The behaviour after the change. Raises pydantic's ValidationError when it cannot be."""
        changed = self.model_dump(include=set(Behaviour.model_fields), exclude_none=True)
        return Behaviour.model_validate(behaviour.model_dump() | changed)


Request = Annotated[Show | Change, Field(discriminator="do")]
REQUEST: TypeAdapter[Show | Change] = TypeAdapter(Request)


class SiteState(Settings):
    """A site as it runs: its addresses, and the path of its network namespace (None: the machine's own)."""

    address: str
    address6: str | None = None
    namespace: str | None = None


class LinkState(Behaviour):
    """A directed link as it is now, and what it did so far."""

    src: str
    dst: str
    cut: bool = False
    forwarded_packets: int = 0
    forwarded_bytes: int = 0
    dropped: dict[str, int] = {}


class LabState(Settings):
    """A running lab. `note` says why a better engine is not in use; `strays` are packets that no link took."""

    engine: EngineName
    pid: int
    note: str | None = None
    sites: dict[str, SiteState]
    links: Annotated[tuple[LinkState, ...], Tuple] = ()
    strays: dict[str, int] = {}


class Reply(Settings):
    """The lab's answer: its state, or the sentence that says why not."""

    error: str | None = None
    state: LabState | None = None
