"""What ALTO's documents must look like, as far as a form can say it: predicates by the names that the RFCs use."""

from __future__ import annotations

import email
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], None]

RESOURCE_ID = r"[0-9A-Za-z:@_-]{1,64}"
PROPERTY_TYPE = r"[0-9A-Za-z:_-]{1,32}"


def text(pattern: str) -> Check:
    def check(value: Any) -> None:
        assert isinstance(value, str), value
        assert re.fullmatch(pattern, value), value

    return check


def one_of(*values: Any) -> Check:
    def check(value: Any) -> None:
        assert value in values, value

    return check


def each(item: Check, *, least: int = 0, most: float = float("inf")) -> Check:
    def check(value: Any) -> None:
        assert isinstance(value, list), value
        assert least <= len(value) <= most, value
        for one in value:
            item(one)

    return check


def mapping(key: Check, item: Check) -> Check:
    def check(value: Any) -> None:
        assert isinstance(value, dict), value
        for name, one in value.items():
            key(name)
            item(one)

    return check


def fields(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    def check(value: Any) -> None:
        assert isinstance(value, dict), value
        assert required.keys() <= value.keys() <= required.keys() | (optional or {}).keys(), value
        for name, one in value.items():
            {**required, **(optional or {})}[name](one)

    return check


def anything(_: Any) -> None:
    pass


def number(value: Any) -> None:
    assert isinstance(value, int | float), value
    assert not isinstance(value, bool), value
    assert value >= 0, value


def prefix_of(version: int) -> Check:
    def check(value: Any) -> None:
        assert ipaddress.ip_network(value).version == version

    return check


def typed_address(value: Any) -> None:
    kind, _, address = value.partition(":")
    assert ipaddress.ip_address(address).version == {"ipv4": 4, "ipv6": 6}[kind]


def parts(content_type: str, body: bytes) -> list[tuple[str, str, Any]]:
    """The Content-ID, Content-Type and document of each part, as a MIME parser of its own finds them."""
    message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    found: list[Any] = list(message.walk())[1:]
    return [(part["Content-ID"], part["Content-Type"], json.loads(part.get_payload())) for part in found]


pid = text(RESOURCE_ID)
# RFC 9275: the part of a path vector is named after a dot.
vtag = fields({"resource-id": text(rf"{RESOURCE_ID}(\.{RESOURCE_ID})?"), "tag": text(r"[!-~]{1,64}")})
vtags = each(vtag, least=1, most=1)
source = fields({"cost-source": one_of("estimation"), "parameters": mapping(text(r"[a-z-]+"), number)})
scalar_type = fields(
    {"cost-mode": one_of("numerical", "ordinal"), "cost-metric": text(r"[0-9A-Za-z:_-]{1,32}")},
    {"cost-context": source, "description": text(".+")},
)
path_type = fields({"cost-mode": one_of("array"), "cost-metric": one_of("ane-path")})
# RFC 7285 §9.2.2, §11.2.1.6, §11.2.3.6, §11.4.1.6, §11.5.1.6; RFC 9240 §7.6; RFC 8895 §5.3; RFC 7285 §8.5.2.
directory = fields(
    {
        "meta": fields({"cost-types": mapping(text(".+"), anything), "default-alto-network-map": pid}),
        "resources": mapping(
            pid,
            fields(
                {"uri": text(r"http://\S+"), "media-type": text(r"[a-z]+/[a-z+-]+(;type=application/[a-z+-]+)?")},
                {
                    "accepts": text(r"application/alto-[a-z]+\+json"),
                    "capabilities": mapping(text("[a-z-]+"), anything),
                    "uses": each(pid, least=1),
                },
            ),
        ),
    }
)
network_map = fields(
    {
        "meta": fields({"vtag": vtag}),
        "network-map": mapping(
            pid, fields({}, {"ipv4": each(prefix_of(4), least=1), "ipv6": each(prefix_of(6), least=1)})
        ),
    }
)
cost_map = fields(
    {
        "meta": fields({"vtag": vtag, "dependent-vtags": vtags, "cost-type": scalar_type}),
        "cost-map": mapping(pid, mapping(pid, number)),
    }
)
endpoint_cost = fields(
    {
        "meta": fields({"vtag": vtag, "cost-type": scalar_type}),
        "endpoint-cost-map": mapping(typed_address, mapping(typed_address, number)),
    }
)
endpoint_prop = fields(
    {
        "meta": fields({"vtag": vtag, "dependent-vtags": vtags}),
        "endpoint-properties": mapping(
            typed_address, mapping(text(rf"{RESOURCE_ID}\.pid|{PROPERTY_TYPE}"), text(".+"))
        ),
    }
)
property_map = fields(
    {
        "meta": fields({"vtag": vtag, "dependent-vtags": vtags}),
        "property-map": mapping(
            text(rf"({RESOURCE_ID}\.)?[0-9A-Za-z_-]{{1,64}}:.+"),
            mapping(text(rf"({RESOURCE_ID})?\.{PROPERTY_TYPE}"), anything),
        ),
    }
)
path_vector = fields(
    {
        "meta": fields({"vtag": vtag, "dependent-vtags": vtags, "cost-type": path_type}),
        "cost-map": mapping(pid, mapping(pid, each(pid, least=1))),
    }
)
path_properties = fields(
    {
        "meta": fields({"dependent-vtags": vtags}),
        "property-map": mapping(text(rf"\.ane:{RESOURCE_ID}"), mapping(text(PROPERTY_TYPE), number)),
    }
)
error = fields(
    {
        "meta": fields(
            {"code": one_of("E_SYNTAX", "E_MISSING_FIELD", "E_INVALID_FIELD_TYPE", "E_INVALID_FIELD_VALUE")},
            {"field": text(".+"), "value": text(".*"), "syntax-error": text("(?s).+")},
        )
    }
)
