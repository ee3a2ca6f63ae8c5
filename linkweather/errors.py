"""Errors, by whose mistake they are; everything else that is raised is ours, and crashes loudly."""

from __future__ import annotations


class OperatorError(Exception):
    """The operator's mistake: wrong settings, a missing program, a taken port.

    Its text is one sentence that names what is wrong and what is allowed or what to do.
    Commands print it and exit with status 2.
    """


class BadValueError(OperatorError):
    """One value that cannot be: `key` names it, `sentence` says what is allowed, `where` is the file, if any."""

    def __init__(self, key: str, sentence: str, where: str = "") -> None:
        super().__init__(f"{where}: {sentence}" if where else sentence)
        self.key = key
        self.sentence = sentence


class UnitError(OperatorError, ValueError):
    """A text that is no such quantity: `text` is what was given, `allowed` what must stand there, after "must be"."""

    def __init__(self, text: str, allowed: str) -> None:
        super().__init__(f"{text!r}: must be {allowed}")
        self.text = text
        self.allowed = allowed


class MeasurementError(Exception):
    """The network's or the peer's failure to be measured: a result, published with its reason.

    `reason` is a short code that a program can group by (`timeout`, `refused`, `unresolved`, …),
    `detail` one line for people.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class MessageError(Exception):
    """The peer's mistake: a message that cannot be accepted. It is counted by `reason`; we carry on."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


def operator_error(group: BaseExceptionGroup[BaseException]) -> OperatorError | None:
    """The operator's mistake that ended a task group; None where something of ours crashed as well."""
    mistakes, others = group.split(OperatorError)
    if mistakes is None or others is not None:
        return None
    first: BaseException = mistakes
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, OperatorError) else None
