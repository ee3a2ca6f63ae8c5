from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from collector.alto import alto_protocol as alto
from collector.alto import request_fields
from collector.alto.alto_protocol import AltoError
from collector.alto.request_fields import Fields


def refusal(action: Callable[[], object]) -> dict[str, Any]:
    with pytest.raises(AltoError) as caught:
        action()
    found: dict[str, Any] = caught.value.document["meta"]
    return found


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "line 1 column 2"),
        (b"", "line 1 column 1"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": Infinity}', "Infinity is not JSON"),
        (b"[1]", "an object was expected"),
        (b"\xff\xfe{", ""),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b'{"a":' + b"[" * 200_000, ""),
    ],
)
def test_what_is_no_json_object_is_a_syntax_error_that_says_where(body: bytes, says: str) -> None:
    found = refusal(lambda: request_fields.parse(body))
    assert set(found) == {"code", "syntax-error"}
    assert found["code"] == "E_SYNTAX"
    assert says in found["syntax-error"]


def test_fields_are_read_by_name_and_type() -> None:
    fields = request_fields.parse(b'{"t": "x", "o": {"l": ["b", "a", "b"]}, "f": true, "os": [{"n": 1}], "extra": 1}')
    assert fields.text("t") == "x"
    assert fields.object("o").texts("l") == ["b", "a"]
    assert fields.texts("absent") == []
    assert (fields.flag("f", default=False), fields.flag("absent", default=True)) == (True, True)
    assert [one.require("n") for one in fields.objects("os")] == [1]
    assert "t" in fields


@pytest.mark.parametrize(
    ("read", "code", "field"),
    [
        (lambda f: f.text("x"), "E_MISSING_FIELD", "x"),
        (lambda f: f.object("o").text("x"), "E_MISSING_FIELD", "o/x"),
        (lambda f: f.object("o").text("n"), "E_INVALID_FIELD_TYPE", "o/n"),
        (lambda f: f.object("t"), "E_INVALID_FIELD_TYPE", "t"),
        (lambda f: f.texts("t"), "E_INVALID_FIELD_TYPE", "t"),
        (lambda f: f.flag("t", default=True), "E_INVALID_FIELD_TYPE", "t"),
    ],
)
def test_a_field_that_is_missing_or_of_the_wrong_type_is_named_by_its_full_path(
    read: Callable[[Fields], object], code: str, field: str
) -> None:
    fields = Fields({"t": "x", "o": {"n": 1}})
    assert refusal(lambda: read(fields)) == {"code": code, "field": field}


@pytest.mark.parametrize(("element", "reported"), [(1, "1"), (None, "null"), ({"a": True}, '{"a": true}')])
def test_an_element_of_the_wrong_type_is_an_invalid_value_reported_as_a_string(element: object, reported: str) -> None:
    fields = Fields({"l": ["a", element]})
    expected = {"code": "E_INVALID_FIELD_VALUE", "field": "l", "value": reported}
    assert refusal(lambda: fields.texts("l")) == expected


def test_a_value_may_be_left_out_but_never_stands_without_its_field() -> None:
    assert alto.invalid("f").document == {"meta": {"code": "E_INVALID_FIELD_VALUE", "field": "f"}}
    assert alto.invalid("f", "v").document["meta"]["value"] == "v"
