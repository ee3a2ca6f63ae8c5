"""What counts as logic is told by its imports, so that no module escapes the coverage gate."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

from tests.documents import ROOT, read

IO = frozenset(
    {
        *("asyncio", "ctypes", "fcntl", "gc", "importlib", "logging", "multiprocessing", "os", "resource", "select"),
        *(
            "selectors",
            "shutil",
            "signal",
            "socket",
            "sqlite3",
            "ssl",
            "subprocess",
            "sys",
            "tempfile",
            "threading",
            "time",
        ),
        *(
            "aiomqtt",
            "click",
            "confluent_kafka",
            "cryptography",
            "duckdb",
            "fastapi",
            "httpx",
            "influxdb_client",
            "nicegui",
            "paho",
            "polib",
            "prometheus_client",
        ),
        *("rich", "scapy", "starlette", "time", "tomlkit", "urllib3", "uvicorn"),
    }
)
# Import nothing that does I/O, and are not logic.
SHELLS: Mapping[str, str] = {
    "linkweather/__main__.py": "starts the command",
    "linkweather/client/__init__.py": "names what is public",
    "probes/adhoc/adhoc_latency.py": "awaits probes",
    "collector/sinks/builtin.py": "opens sinks",
    "collector/incident_wiring.py": "connects parts",
    "collector/shared_log.py": "connects parts",
    "collector/store/incident_log.py": "reads and writes the database that it is given",
    "collector/store/sla_reader.py": "reads the database that it is given",
    "collector/store/link_history.py": "likewise",
    "collector/store/link_marks.py": "likewise",
    "collector/store/past_decisions.py": "likewise",
    "collector/store/quarantine.py": "likewise",
    "collector/store/recorded_columns.py": "likewise",
    "collector/store/recorded_rows.py": "likewise",
    "collector/store/roll_ups.py": "likewise",
    "collector/state_rebuild.py": "hands what the database has to the states",
}
# Logic that needs a name from a module that also does I/O.
USES: Mapping[str, frozenset[str]] = {
    "collector/incidents/traced_paths.py": frozenset({"sys"}),  # its intern
    "probes/latency/targets.py": frozenset({"socket"}),  # the type of an address
}


def modules() -> Iterator[Path]:
    for top in ("linkweather", "probes", "collector", "page"):
        yield from (path for path in sorted((ROOT / top).rglob("*.py")) if "import " in path.read_text("utf-8"))


def imported(path: Path) -> set[str]:
    """The top names of all modules that this one imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.partition(".")[0] for name in plain | {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}}


def _used(path: Path) -> frozenset[str]:
    return USES.get(str(path.relative_to(ROOT)), frozenset())


def is_listed(name: str) -> bool:
    patterns = tomllib.loads(read("pyproject.toml"))["tool"]["coverage"]["run"]["include"]
    return any(fnmatch(name, pattern) for pattern in patterns)


def test_a_module_that_imports_no_io_is_logic_and_no_other_is() -> None:
    pure = {str(path.relative_to(ROOT)): not (imported(path) & IO) - _used(path) for path in modules()}
    assert [name for name, is_pure in pure.items() if is_pure != is_listed(name) and name not in SHELLS] == []
    assert {name for name in SHELLS if not pure.get(name) or is_listed(name)} == set()


def test_every_pattern_of_the_list_names_a_module() -> None:
    names = [str(path.relative_to(ROOT)) for path in modules()]
    patterns = tomllib.loads(read("pyproject.toml"))["tool"]["coverage"]["run"]["include"]
    assert [pattern for pattern in patterns if not any(fnmatch(name, pattern) for name in names)] == []
