"""Messages as bytes, and back."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from linkweather.errors import MessageError
from linkweather.wire.fields import Message

AnyMessage = TypeVar("AnyMessage", bound=Message)


def encode(message: BaseModel) -> bytes:
    """Compact UTF-8 JSON without the fields that are not set."""
    return message.model_dump_json(exclude_none=True).encode()


def decode(model: type[AnyMessage], payload: bytes | str) -> AnyMessage:
    """Decode one message. Raises MessageError: `malformed` for no JSON, `impossible` for a bad value."""
    try:
        return model.model_validate_json(payload)
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> MessageError:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    reason = "malformed" if first["type"] == "json_invalid" else "impossible"
    return MessageError(reason, f"{where}: {first['msg']}" if where else first["msg"])
