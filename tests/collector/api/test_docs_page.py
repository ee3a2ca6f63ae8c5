"""The documentation page, made from a schema."""

from __future__ import annotations

from typing import Any

from collector.api.docs_page import page

SCHEMA: dict[str, Any] = {
    "info": {"title": "t<", "version": "1"},
    "paths": {
        "/x": {
            "get": {
                "description": "Gives <x>.",
                "parameters": [
                    {"name": "p", "in": "query", "description": "A & B", "schema": {"type": "string", "default": "1h"}},
                    {"name": "q", "in": "path", "schema": {"type": "string"}},
                ],
                "responses": {
                    "200": {
                        "description": "Fine",
                        "content": {
                            "application/json": {
                                "schema": {"type": "array", "items": {"$ref": "#/components/schemas/M"}}
                            }
                        },
                    },
                    "404": {"description": "None"},
                },
            }
        }
    },
    "components": {
        "schemas": {
            "M": {
                "description": "A model.",
                "properties": {
                    "state": {"enum": ["up", "down"]},
                    "at": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
                    "any": {},
                },
            }
        }
    },
}


def test_operations_show_method_path_parameters_and_answers() -> None:
    html = page(SCHEMA)
    assert "<b>GET</b> /x" in html
    assert "<code>p</code><td>query<td>A &amp; B<td>default <code>1h</code>" in html
    assert "<code>q</code><td>path<td><td>" in html
    assert '<code>200</code><td>Fine<td>list of <a href="#M">M</a>' in html


def test_models_show_their_fields_and_types() -> None:
    html = page(SCHEMA)
    assert '<h2 id="M">M</h2>' in html
    assert "<code>state</code><td><code>up</code> or <code>down</code>" in html
    assert "<code>at</code><td>date-time or null" in html
    assert "<code>any</code><td>any" in html


def test_nothing_from_the_schema_is_markup() -> None:
    html = page(SCHEMA)
    assert "<x>" not in html
    assert "<title>t&lt;</title>" in html


def test_the_page_needs_nothing_from_elsewhere() -> None:
    assert not any(word in page(SCHEMA) for word in ("http:", "https:", "//", "<script", "src="))
