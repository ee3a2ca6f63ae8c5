"""Version tags (RFC 7285 §10.3): a hash of the content, so that they change exactly when it does."""

from __future__ import annotations

import hashlib
import json
from typing import Any

TAG_LENGTH = 40


def tag_of(content: Any) -> str:
    """The tag of JSON content, the same in every process and for every order of keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:TAG_LENGTH]


def vtag(resource: str, tag: str) -> dict[str, str]:
    """A VersionTag."""
    return {"resource-id": resource, "tag": tag}
