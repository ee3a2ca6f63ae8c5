"""What people read is true: links lead somewhere, code blocks work, and nothing that exists is left out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from click.testing import CliRunner
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from collector.named_tables import KINDS, NotifyTable
from collector.settings import CollectorSettings
from collector.store.columns import TABLES
from linkweather import plugins, settings
from linkweather.cli.root import main
from linkweather.client import Client
from linkweather.errors import CollectorUnavailableError
from linkweather.lab.labfile import LabFile
from linkweather.mesh import Mesh
from linkweather.models.events import EVENTS
from linkweather.models.placements import Job
from linkweather.models.routes import SiteRoutes
from linkweather.sink import SinkSettings
from linkweather.wire import REPORTS, Hop, decode_report, topics
from linkweather.wire.capacity import CAPACITY_RELATIONS
from linkweather.wire.latency import LATENCY_RELATIONS
from linkweather.wire.throughput import THROUGHPUT_RELATIONS
from probes.settings import ProbeSettings
from tests import servers
from tests.command_tree import leaves, options_of
from tests.documents import DOCUMENTS, ROOT, anchors, blocks, code, links, prose, read, rows

# the word after ```toml, or a section of docs/settings.md → what reads it
FILES: Mapping[str, type[BaseModel]] = {
    "mesh": Mesh,
    "probe": ProbeSettings,
    "collector": CollectorSettings,
    "job": Job,
    "lab": LabFile,
}
SETTINGS: Mapping[str, type[BaseModel]] = {
    **{f"{name}.toml": FILES[name] for name in ("mesh", "probe", "collector", "job")},
    "Lab files": LabFile,
}
API = "http://127.0.0.1:8484"

_PATH = re.compile(r"(?:linkweather|probes|collector|config|tests|docs|examples|packaging)/[\w./-]*[\w/]")
_BENCH = re.compile(r"python -m (tests\.bench\.\w+)")
_TARGET = re.compile(r"\bmake ([a-z][a-z-]*)")
_OPTION = re.compile(r"`(--?[a-z0-9][a-z0-9-]*)")
_INVOCATION = re.compile(r"(?:^|[;&|] )\$? ?(?:\S*bin/)?linkweather ([a-z]+)([^|;&\n#]*)", re.MULTILINE)
_PYTHON = sorted({*blocks("python")}, key=str)


def document(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=document)
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(path: Path) -> None:
    dead = []
    for link in links(path):
        if re.match(r"https?://", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=document)
def test_every_path_that_a_document_names_exists(path: Path) -> None:
    named = {text for text in code(path) if _PATH.fullmatch(text) and not text.startswith(topics.PREFIX)}
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_every_document_is_linked_from_the_readme() -> None:
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")}
    assert {path for path in DOCUMENTS if path.name != "README.md"} <= linked


def test_the_readme_is_short() -> None:
    assert len(read("README.md").encode()) < 9000


def test_every_target_that_a_document_names_is_in_the_makefile() -> None:
    named = {target for path in DOCUMENTS for text in code(path) for target in _TARGET.findall(text)}
    assert {"demo", "test", "bench"} <= named
    assert named <= set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))


def test_the_benches_are_those_of_the_document() -> None:
    named = {name.rpartition(".")[2] for name in _BENCH.findall(read("docs/benchmarks.md"))}
    assert named == {path.stem for path in (ROOT / "tests" / "bench").glob("*.py") if "__main__" in path.read_text()}


# Code blocks.


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_a_block_of_toml_is_what_its_word_says(block: Any) -> None:
    (word,) = block.words
    if word in {"packaging", "sink"}:  # tests/test_extending.py builds the one, and runs a collector with the other
        return
    assert isinstance(settings.parse(block.text, FILES[word], str(block)), FILES[word])


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_a_block_of_json_is_a_message_that_is_taken(block: Any) -> None:
    report = json.loads(block.text)
    if "kind" not in report:
        assert SiteRoutes.model_validate_json(block.text).site == report["site"]
        return
    site = report["links"][0]["src"] if "links" in report else "any"
    assert decode_report(site, report["kind"], block.text.encode()).report.kind == report["kind"]


@pytest.mark.parametrize("block", _PYTHON, ids=str)
def test_a_block_of_python_compiles(block: Any) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", [*blocks("console"), *blocks("sh")], ids=str)
def test_a_command_in_a_block_names_options_that_exist(block: Any) -> None:
    for name, rest in _INVOCATION.findall(block.text):
        inner = rest.split()
        words = next(leaf for leaf in leaves() if leaf[0] == name and (len(leaf) == 1 or leaf[1] in inner[:1]))
        own = rest.partition(" -- ")[0]
        assert set(re.findall(r"(?<=\s)--[a-z0-9-]+", own)) <= options_of(words), (name, rest)


@pytest.fixture(scope="module")
def demo_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API of a running demo in which two hubs have a path to each other."""
    folder, port = tmp_path_factory.mktemp("demo"), servers.free_port()
    api = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "linkweather", "demo", "--engine", "loopback", "--port", str(port)]
    with servers.running(*command, log=folder / "log", cwd=folder):
        servers.wait_until(lambda: _decided(api), "the demo decides", 90.0)
        yield api


def _decided(api: str) -> bool:
    try:
        with Client(api) as client:
            return any(route.src == "gz" for route in client.routes("latency").routes)
    except CollectorUnavailableError:
        return False


@pytest.mark.parametrize("block", [*blocks("sh", "run"), *blocks("python", "run")], ids=str)
def test_a_block_that_is_marked_to_be_run_works_beside_a_demo(block: Any, demo_api: str, tmp_path: Path) -> None:
    shells = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [*shells[block.language], block.text.replace(API, demo_api)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "LINKWEATHER_API": demo_api},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


# References: what is there is described, and what is described is there.


def test_the_commands_are_those_of_the_document_with_all_their_options() -> None:
    described = {}
    for first, _, options in (row for row in rows(read("docs/commands.md")) if row[0].startswith("`linkweather ")):
        words = tuple(word for word in first.strip("`").split()[1:] if word.islower())
        described[words] = set(_OPTION.findall(options))
    assert described == {leaf: options_of(leaf) for leaf in leaves()}


def test_the_exit_statuses_are_those_of_the_root_command() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert "Exit status: 0 done, 1 measured but failed, 2 wrong usage or settings." in result.output
    assert "Exit status: 0 done, 1 " in read("docs/commands.md")


def tables_of(model: type[BaseModel], *path: str) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """Every table of a settings file by its keys, such as `("sites", "devices")`; the file's own first, without any."""
    yield path, model
    for key, field in model.model_fields.items():
        for inner in models_in(field.annotation):
            yield from tables_of(inner, *path, key)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)


def described_tables(file: str) -> Mapping[tuple[str, ...], Mapping[str, str]]:
    """The tables below a file's heading in the document, by their keys: setting → default."""
    text = read("docs/settings.md").partition(f"\n## {file}\n")[2].partition("\n## ")[0]
    found = {}
    for part in text.split("\n### "):
        heading = re.match(r"\[+([\w.]+)\]", part)
        path = tuple(word for word in heading[1].split(".") if word.islower()) if heading else ()
        found[path] = {key: row[1] for row in rows(part)[1:] for key in re.findall(r"`(\w+)`", row[0])}
    return found


def as_described(default: Any) -> str:
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return "–"
    plain = {} if isinstance(default, BaseModel) else str(default) if isinstance(default, Path) else default
    return json.dumps(plain)


def settings_tables(file: str) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """Every table of a settings file, those that come through a door with their names."""
    yield from (each for each in tables_of(SETTINGS[file]) if not issubclass(each[1], SinkSettings | NotifyTable))
    if file == "collector.toml":
        yield from ((("sinks", name), plugins.load(plugins.SINKS, name)) for name in plugins.names(plugins.SINKS))
        yield from ((("notify", kind), model) for kind, model in KINDS.items())
    if file == "mesh.toml":
        models = [plugins.load(plugins.PROBERS, name).options for name in plugins.names(plugins.PROBERS)]
        yield from ((("sites", "options"), model) for model in models if model.model_fields)


def test_every_setting_is_described_with_its_default() -> None:
    wrong: dict[tuple[str, ...], Any] = {}
    missing: dict[type[BaseModel], str] = {}
    described_models = set()
    for file in SETTINGS:
        tables = described_tables(file)
        for path, model in settings_tables(file):
            if path not in tables:
                missing[model] = f"{file}: {path}"
                continue
            described_models.add(model)
            fields = {name: field.get_default(call_default_factory=True) for name, field in model.model_fields.items()}
            there = {name: as_described(default) for name, default in fields.items()}
            if tables[path] != there:
                wrong[file, *path] = set(tables[path].items()) ^ set(there.items())
    assert wrong == {}
    # A table that two files have is described for one of them.
    assert {model: where for model, where in missing.items() if model not in described_models} == {}


def test_the_topics_are_those_of_the_document() -> None:
    described = {row[0].strip("`").removesuffix(" (retained").split("`")[0] for row in rows(read("docs/mqtt.md"))}
    made = {
        topics.MESH,
        *(
            make("{site}")
            for make in (
                topics.status,
                topics.presence,
                topics.restart,
                topics.committed,
                topics.claim,
                topics.routes,
                topics.weights,
                topics.mesh,
            )
        ),
        topics.state("{site}"),
        *(make("{site}", "{from}") for make in (topics.invite, topics.answer)),
        topics.report("{site}", "{kind}"),
        topics.part("{site}", "{n}"),
    }
    assert {topic.removeprefix(f"{topics.PREFIX}/") for topic in made} <= described
    assert {name for name in described if name.startswith("site/")} <= {
        topic.removeprefix(f"{topics.PREFIX}/") for topic in made
    }


@pytest.mark.parametrize("kind", REPORTS)
def test_every_field_of_a_row_is_in_the_document(kind: str) -> None:
    (text,) = [row[2] for row in rows(read("docs/mqtt.md")) if row[0] == kind and len(row) > 2]
    named = set(re.findall(r"`(\w+)`", text))
    own = set(TABLES[kind].row.model_fields) - {"src", "dst", "method", "failure", "detail"}
    assert named == own | (set(Hop.model_fields) if kind == "path" else set())


def paths_of(api: str) -> Mapping[str, Mapping[str, Any]]:
    paths: Mapping[str, Mapping[str, Any]] = httpx.get(f"{api}/openapi.json", timeout=90).json()["paths"]
    return paths


def test_the_relations_of_rows_are_those_of_the_document() -> None:
    described = re.findall(r"`([^`]* <= [^`]*)`", read("docs/mqtt.md"))
    assert described == [*LATENCY_RELATIONS, *THROUGHPUT_RELATIONS, *CAPACITY_RELATIONS]


def test_the_paths_of_the_api_are_those_of_the_document(demo_api: str) -> None:
    described = {tuple(row[0].strip("`").split()) for row in rows(read("docs/http-api.md")) if row[0].startswith("`")}
    there = {
        (method.upper(), path)
        for path, methods in paths_of(demo_api).items()
        for method in methods
        if not path.startswith("/alto")
    }
    assert described == there


def test_the_kinds_of_events_are_those_of_the_document() -> None:
    (text,) = [row[1] for row in rows(read("docs/http-api.md")) if "/events" in row[0]]
    assert set(EVENTS) <= set(re.findall(r"`(\w+)`", text))


def test_the_resources_of_alto_are_those_of_the_document(demo_api: str) -> None:
    described = {path for row in rows(read("docs/alto.md")) for path in re.findall(r"`(/alto/[^`]*)`", row[0])}
    resources = httpx.get(f"{demo_api}/alto", timeout=90).json()["resources"].values()
    there = {resource["uri"].removeprefix(demo_api) for resource in resources}
    assert described == {re.sub(r"/(numerical|ordinal)/.*", "/{mode}/{metric}", path) for path in there}


def test_prose_has_no_sentence_twice() -> None:
    """What is said in two documents is changed in one of them only, sooner or later."""
    seen: dict[str, str] = {}
    twice = []
    for path in DOCUMENTS:
        for sentence in re.split(r"(?<=[.:;])\s+|\n", prose(path)):
            if len(sentence) < 80 or sentence.startswith("|"):
                continue
            if seen.setdefault(sentence, document(path)) != document(path):
                twice.append((sentence, seen[sentence], document(path)))
    assert twice == []


def test_every_room_has_its_line_in_the_architecture() -> None:
    there = {
        f"{path.parent.relative_to(ROOT)}/"
        for top in ("linkweather", "probes", "collector", "page")
        for path in (ROOT / top).rglob("*.py")
    }
    described = {row[0].strip("`") for row in rows(read("docs/architecture.md")) if row[0].endswith("/`")}
    assert there <= described


def test_every_dependency_is_explained_in_the_architecture() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["collector"]]
    text = read("docs/architecture.md")
    assert [name for line in needed if (name := re.split(r"[>=]", line)[0]).lower() not in text.lower()] == []
