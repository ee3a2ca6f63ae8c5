"""Errors, by whose mistake they are. Any other exception is our own mistake and crashes loudly.

* LinkweatherError
  × OperatorError                 the operator's: a command prints it and exits with status 2
    · BadValueError               one value, by its key
    · UnitError                   a text that is not the expected quantity (also a ValueError)
  × NoSuchSiteError               a name that no site of the mesh has (also a ValueError)
  × MeasurementError              the network's or a peer's: a result, published with its reason
  × MessageError                  a peer's: the message is counted and dropped
  × RecordError                   the record cannot be written now: what was to be written waits, and is tried again
  × QueryTimeError                a question to the record took longer than it may
  × CollectorUnavailableError     no collector answers the client
  × NotFoundError                 the collector knows no such site or link
  × NoPathError                   no path between two sites is usable now

Each text is one sentence that says what is wrong, and what is allowed or what to do. Parts of the system derive errors
of their own from these.
"""

from __future__ import annotations


class LinkweatherError(Exception):
    """The base of every error that linkweather raises on purpose."""


class OperatorError(LinkweatherError):
    """The operator's mistake: wrong settings, a missing program, a taken port."""


class BadValueError(OperatorError):
    """One impossible value: `key` names it, `sentence` says what is allowed, `where` is the file, if any."""

    def __init__(self, key: str, sentence: str, where: str = "") -> None:
        super().__init__(f"{where}: {sentence}" if where else sentence)
        self.key = key
        self.sentence = sentence


class UnitError(OperatorError, ValueError):
    """A text that is not the expected quantity: `text` was given; `allowed`, after "must be", says what is expected."""

    def __init__(self, text: str, allowed: str) -> None:
        super().__init__(f"{text!r}: must be {allowed}")
        self.text = text
        self.allowed = allowed


class NoSuchSiteError(LinkweatherError, ValueError):
    """A name that no site of the mesh has, or several; its text is a sentence to follow the name."""


class RecordError(LinkweatherError):
    """The record cannot be written now; its text says why."""


class QueryTimeError(LinkweatherError):
    """A question to the record took longer than it may; its text says how long that is."""


class _ReasonedError(LinkweatherError):
    """An error with a short `reason` that a program can group by, and a `detail` of one line for people."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class MeasurementError(_ReasonedError):
    """The network's or the peer's failure to be measured: `timeout`, `refused`, `unresolved`, …."""


class MessageError(_ReasonedError):
    """The peer's mistake: an unacceptable message. The receiver counts it by `reason` and carries on."""


class CollectorUnavailableError(LinkweatherError):
    """No collector answers, or what answers is none."""


class NotFoundError(LinkweatherError):
    """The mesh has no such site or link; the text is the collector's sentence."""


class NoPathError(LinkweatherError):
    """There is no usable path now; the text is the collector's sentence."""


def operator_error(group: BaseExceptionGroup[BaseException]) -> OperatorError | None:
    """The operator's mistake that ended a task group; None if anything else failed as well."""
    mistakes, others = group.split(OperatorError)
    if mistakes is None or others is not None:
        return None
    first: BaseException = mistakes
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, OperatorError) else None
