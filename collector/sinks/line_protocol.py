r"""InfluxDB's line protocol, as SQL over the journal's tables. Pure logic, and the one place that knows the format.

A line is `measurement,tag=value… field=value… time`. The measurement is the row's kind, the tags are `src`, `dst` and
`method`, of capacities `site` and `type`, the fields have the contract's names; a field that was not set is absent,
and of a list (a path's hops, outages) the length goes out. A prober's own figures are fields of the row, under the
names that the history has for them: `figures.connect_s`. DuckDB writes a row in 1.5 µs where Python, which writes
floats slowly, took 7.

A server keeps one point for each series and time. Rows of two reports may have both in common: a clock was set back,
or two probes have one id. So the digits below the microsecond, which no row's time has, are a number from 0 to 999
that follows from the report's (boot, seq): a report that is sent again replaces itself, and no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from collector.store.columns import FIGURES, LINK_TABLES, TABLES

TAGS = ("src", "dst", "method")
_TAGS: Mapping[str, tuple[str, ...]] = {**dict.fromkeys(LINK_TABLES, TAGS), "capacity": ("site", "type")}
# SQL type → a field's value as text: integers are marked, texts quoted. A server splits at a line's end before
# it looks at quotes, so that there is no way to keep one.
_VALUES: Mapping[str, str] = {
    "BIGINT": "{0} || 'i'",
    "DOUBLE": "{0}::VARCHAR",
    "BOOLEAN": "{0}::VARCHAR",
    "VARCHAR": r"""'"' || replace(replace(translate({0}, e'\n\r', '  '), '\', '\\'), '"', '\"') || '"'""",
}
# Fields of their own, in one text; NULL where there are none, so that it leaves no comma.
_FIGURES = (
    "array_to_string(list_transform(map_entries({0}), lambda e: '{1}.' || e.key || '=' || e.value::VARCHAR), ',')"
)
# As floats, for a bucket that has counts so: a server keeps a field's first type for good.
_REALS: Mapping[str, str] = {**_VALUES, "BIGINT": "{0}::DOUBLE::VARCHAR"}
# DuckDB's own hash may change with its version; MD5 does not. Times beyond the year 2262 are for the server to refuse.
_TIME = "(epoch_us(\"at\")::HUGEINT * 1000 + md5_number_lower(boot || ':' || seq) % 1000)::VARCHAR"
# A tag has no escape for a line's end, nor for a backslash before a separator: both are replaced.
_TAG = r"replace(replace(replace(translate({0}, e'\n\r\\', '  /'), ',', '\,'), '=', '\='), ' ', '\ ')"


@cache
def line(kind: str, *, integers: bool = True) -> str:
    """The SQL expression that makes a line of a row of this kind's table, with its time in nanoseconds.

    It is NULL for a row without any field, which is no point. Without `integers`, counts are written as floats.
    """
    values = _VALUES if integers else _REALS
    tags = " || ".join(f"',{name}=' || {_TAG.format(_quoted(name))}" for name in _TAGS[kind])
    fields = ", ".join(
        _FIGURES.format(text, name) if sql == FIGURES else f"'{name}=' || {values[sql].format(text)}"
        for name, text, sql in _fields(kind)
    )
    return f"""'{kind}' || {tags} || ' ' || nullif(concat_ws(',', {fields}), '') || ' ' || {_TIME}"""


def _fields(kind: str) -> Iterator[tuple[str, str, str]]:
    """Each field's name, the SQL of its value, and that value's type."""
    table = TABLES[kind]
    types = {**{name: field.sql for name, field in table.fields.items()}, **table.extra}
    for name, sql in types.items():
        if name in table.nested:
            yield name, f'json_array_length("{name}")::BIGINT', "BIGINT"
        elif name not in _TAGS[kind]:
            yield name, f'"{name}"', sql


def _quoted(name: str) -> str:
    return f'"{name}"'
