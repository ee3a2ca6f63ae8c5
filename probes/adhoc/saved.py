"""Ad hoc tests in a file: the JSON document of `--json`, read back as far as tests are compared."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from linkweather import atomicfile
from linkweather.errors import OperatorError

Count = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[float, Field(ge=0)]


class _Saved(BaseModel):
    # A file of a later version may have more fields; those that are compared must be as they are now.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class SavedLatency(_Saved):
    """The latency half; `rtts_s` has None for each lost probe."""

    method: str
    sent: Count
    received: Count
    rtt_p50_s: Positive | None = None
    rtts_s: tuple[Positive | None, ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.received > self.sent:
            raise ValueError("received exceeds sent")
        return self


class SavedDatagrams(_Saved):
    """What a UDP test sent and lost."""

    sent: Count
    lost: Count

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.lost > self.sent:
            raise ValueError("lost exceeds sent")
        return self


class SavedThroughput(_Saved):
    """One direction of the throughput half."""

    method: str
    direction: Literal["forward", "reverse"]
    streams: Count | None = None
    congestion: str | None = None
    udp_rate_bps: Positive | None = None
    goodput_bps: Positive | None = None
    goodput_low_bps: Positive | None = None
    goodput_high_bps: Positive | None = None
    datagrams: SavedDatagrams | None = None


class SavedTest(_Saved):
    """One host's test; one that could not be resolved has neither half."""

    host: str
    at: AwareDatetime | None = None
    latency: SavedLatency | None = None
    throughput: SavedThroughput | None = None
    throughput_opposite: SavedThroughput | None = None


class _Several(_Saved):
    tests: tuple[SavedTest, ...]


def together(documents: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The document of one test as it is, of several in a list."""
    return documents[0] if len(documents) == 1 else {"tests": list(documents)}


def read(path: Path) -> Mapping[str, SavedTest]:
    """The tests in a file, by host. Raises OperatorError, in one sentence."""
    try:
        values = json.loads(path.read_bytes())
        several = isinstance(values, dict) and "tests" in values
        tests = _Several.model_validate(values).tests if several else (SavedTest.model_validate(values),)
    except OSError as error:
        raise OperatorError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise OperatorError(f"{path}: was not written by --save: {where or 'the document'}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise OperatorError(f"{path}: was not written by --save: it is no JSON") from None
    return {test.host: test for test in tests}


def check_place(path: Path) -> None:
    """Raise OperatorError where no file can be saved, before anything is measured."""
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise OperatorError(f"{path}: cannot be written: name a file in a folder that exists and is yours to write in")


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Replace the file in one step: a crash leaves the old one or the new one. Raises OperatorError."""
    try:
        atomicfile.replace(path, json.dumps(document, allow_nan=False) + "\n")
    except OSError as error:
        raise OperatorError(f"{path}: cannot be written: {error.strerror}") from None
