"""The API's documentation as one self-contained HTML page, made from its OpenAPI schema. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

Schema = Mapping[str, Any]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h2 { font: 600 1.1rem ui-monospace, monospace; margin-top: 2rem; border-top: 1px solid #ddd; padding-top: 1rem; }
h2 b { color: #06c; } code { font-family: ui-monospace, monospace; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .15rem 1rem .15rem 0; vertical-align: top; }
pre { white-space: pre-wrap; font: inherit; }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd; } h2 b, a { color: #6af; } }
"""


def page(schema: Schema) -> str:
    """The whole page."""
    info = schema["info"]
    operations = "".join(
        _operation(method, path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    )
    models = "".join(_model(name, model) for name, model in schema["components"]["schemas"].items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f"<style>{_STYLE}</style><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{escape(info.get('description', ''))} "
        f'The same for programs: <a href="/openapi.json">openapi.json</a>.</p>'
        f"{operations}<h1>Models</h1>{models}</html>"
    )


def _operation(method: str, path: str, operation: Schema) -> str:
    answers = "".join(
        f"<tr><td><code>{escape(status)}</code><td>{escape(answer['description'])}<td>{_answer_type(answer)}"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<h2><b>{method.upper()}</b> {escape(path)}</h2><pre>{escape(operation.get('description', ''))}</pre>"
        f"<table>{''.join(_parameters(operation))}</table><table>{answers}</table>"
    )


def _parameters(operation: Schema) -> Iterator[str]:
    for parameter in operation.get("parameters", ()):
        default = parameter["schema"].get("default")
        note = "" if default is None else f"default <code>{escape(str(default))}</code>"
        yield (
            f"<tr><td><code>{escape(parameter['name'])}</code><td>{escape(parameter['in'])}"
            f"<td>{escape(parameter.get('description', ''))}<td>{note}"
        )


def _answer_type(answer: Schema) -> str:
    return ", ".join(_type(content.get("schema", {})) for content in answer.get("content", {}).values())


def _model(name: str, model: Schema) -> str:
    fields = "".join(
        f"<tr><td><code>{escape(field)}</code><td>{_type(kind)}" for field, kind in model.get("properties", {}).items()
    )
    text = escape(model.get("description", ""))
    return f'<h2 id="{escape(name)}">{escape(name)}</h2><pre>{text}</pre><table>{fields}</table>'


def _type(kind: Schema) -> str:
    if "$ref" in kind:
        name = escape(kind["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in kind:
        return " or ".join(_type(choice) for choice in kind["anyOf"])
    if "enum" in kind:
        return " or ".join(f"<code>{escape(str(value))}</code>" for value in kind["enum"])
    if kind.get("type") == "array" and "items" in kind:
        return f"list of {_type(kind['items'])}"
    return escape(str(kind.get("format", kind.get("type", "any"))))
