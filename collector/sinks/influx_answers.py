"""What an answer of InfluxDB 1.x, 2.x or VictoriaMetrics to a write means. Pure logic, in one table.

Servers agree on little: a missing organisation is a 400, a point beyond the bucket's retention a 422 (2.x), a 400 or a
500 (1.x), and a missing retention policy a 500. So the words are asked before the status.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from linkweather.sink import BatchRefusedError, SinkAwayError, SinkError, SinkSetupError

_SHOWN_CHARACTERS = 300
_DROPPED = re.compile(r"partial write: .*dropped=(\d+)", re.DOTALL)
_RETENTION = re.compile(r"retention policy", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PartlyTaken:
    """The server wrote the batch but for `dropped` points, and does not say which."""

    dropped: int
    reason: str
    beyond_retention: bool


@dataclass(frozen=True, slots=True)
class InfluxAnswer:
    """A server's refusal: HTTP's status, its own words, and how long it asks us to wait."""

    url: str
    status: int
    phrase: str
    words: str
    retry_after_s: float | None = None

    @property
    def reason(self) -> str:
        """Status and words, short enough for a log."""
        return f"{self.status} {self.phrase}: {self.words[:_SHOWN_CHARACTERS]}"


def words_of(body: bytes) -> str:
    """The server's own words: `error` in 1.x, `message` in 2.x, else the start of what it says."""
    text = body.decode(errors="replace").strip()
    try:
        parsed = json.loads(text)
        return str(parsed.get("error") or parsed.get("message") or text)
    except (ValueError, AttributeError):
        return text  # not an object of JSON


def meaning(answer: InfluxAnswer) -> PartlyTaken | SinkError:
    """What a refusal means: points dropped and the rest written, or the error to raise."""
    partial = _DROPPED.search(answer.words)
    # With a point that it cannot parse, a 1.x writes the others too, and counts no point as dropped: it is halved.
    if partial and int(partial[1]):
        return PartlyTaken(int(partial[1]), answer.reason, bool(_RETENTION.search(answer.words)))
    return next(make(answer) for statuses, words, make in _MEANINGS if _fits(answer, statuses, words))


def no_answer(url: str, error: BaseException) -> SinkError:
    """What a connection that failed means."""
    cause = getattr(error, "reason", None) or error  # urllib3 wraps what happened
    cause = next((part for part in (cause, *getattr(cause, "args", ())) if isinstance(part, ssl.SSLError)), cause)
    if isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER":
        return SinkSetupError(f"{url} does not speak TLS: write http:// in url, or name its TLS port")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return SinkSetupError(f"{url} has a certificate that is not trusted ({cause.verify_message})")
    return SinkAwayError(f"{url} takes no data now (no answer: {type(cause).__name__})")


def _setup(what: str) -> Callable[[InfluxAnswer], SinkError]:
    return lambda answer: SinkSetupError(f"{answer.url} {what} ({answer.reason})")


def _refused(answer: InfluxAnswer) -> SinkError:
    return BatchRefusedError(answer.reason)


def _too_large(answer: InfluxAnswer) -> SinkError:
    return BatchRefusedError(answer.reason, too_large=True)


def _away(answer: InfluxAnswer) -> SinkError:
    return SinkAwayError(f"{answer.url} takes no data now ({answer.reason})", answer.retry_after_s)


# Statuses (none: any), words (none: any) and what to make of it. The first that fits counts.
_MEANINGS: Sequence[tuple[frozenset[int], str, Callable[[InfluxAnswer], SinkError]]] = (
    (frozenset({400}), "orgID or org", _setup("wants to know the organisation: set org")),
    (frozenset({400}), "HTTP request to an HTTPS server", _setup("speaks TLS: write https:// in url")),
    (frozenset({500}), "retention policy not found", _setup("has no such retention policy: check bucket")),
    (frozenset({401}), "", _setup("refuses our credentials: check token, token_file, username and password")),
    (frozenset({403}), "", _setup("forbids us to write: give the token or user write permission")),
    (frozenset({404}), "", _setup("has no such database or bucket: check its name, and org and url")),
    (frozenset({413}), "", _too_large),
    (frozenset({400, 422}), "", _refused),
    (frozenset(), "beyond retention policy", _refused),
    (frozenset(), "", _away),
)


def _fits(answer: InfluxAnswer, statuses: frozenset[int], words: str) -> bool:
    return (not statuses or answer.status in statuses) and words in answer.words
