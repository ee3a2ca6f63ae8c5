"""`linkweather import`: what iperf3, pScheduler and SmokePing measured, and a mesh of pSConfig."""

from __future__ import annotations

import codecs
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import tomlkit

from collector.migration import smokeping_data
from collector.migration.iperf3_results import iperf3_source, of_each_test
from collector.migration.measurement import ImportSource, NotCarriedOverError, entries_of, sites_of
from collector.migration.pscheduler_results import pscheduler_source
from collector.migration.psconfig_template import mesh_tables
from collector.store.journal import JOURNAL_FILE, Journal
from collector.store.journal_repair import is_held
from linkweather import settings
from linkweather.cli.options import FILE
from linkweather.cli.output import echo
from linkweather.cli.root import EXIT_FAILED
from linkweather.errors import OperatorError
from linkweather.mesh import Mesh
from linkweather.mesh_methods import load_mesh
from linkweather.private_folder import private_umask
from linkweather.units import count

_BATCH = 1000  # reports in one transaction
_RRDTOOL_S = 120.0
_SHOWN = 20  # sentences about what is left out

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class _Naming(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.2
    name = "NAME=SITE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        del param, ctx
        name, between, site = str(value).rpartition("=")
        if not (name and between and site):
            raise OperatorError(f"--site {value!r}: must be NAME=SITE")
        return name, site


_site = click.option("--site", "naming", type=_Naming(), multiple=True, help="Which site a host of the source is.")
_COMMON = (
    click.option("--mesh", type=FILE, default="mesh.toml", show_default=True, help="The mesh file with the sites."),
    _site,
    click.option("--data-dir", type=FILE, default="collector-data", show_default=True, help="The journal's folder."),
)


def _into_journal(command: Decorated) -> Decorated:
    for option in reversed(_COMMON):
        command = option(command)
    return command


@click.group("import", short_help="Take over measurements and meshes of other programs.")
def import_() -> None:
    """Take over what other programs measured, and the mesh of one.

    Measurements go into the journal of a stopped collector; importing them again adds nothing.
    """


@import_.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@_into_journal
def iperf3(*, folder: Path, **options: Any) -> None:
    """Import a folder of files that `iperf3 -J` wrote, by clients or servers; their names end in .json."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".json" and file.is_file())
    if not files:
        raise OperatorError(f"{folder}: has no file whose name ends in .json")
    sources = list(_read(files, lambda file: [iperf3_source(file.name, _content(file))]))
    _commit(of_each_test(sources), **options)


@import_.command()
@click.argument("files", type=FILE, nargs=-1, required=True)
@_into_journal
def pscheduler(*, files: tuple[Path, ...], **options: Any) -> None:
    """Import runs of pScheduler as its archivers get them: throughput, rtt, latency and latencybg."""
    _commit(_read(files, lambda file: [pscheduler_source(file.name, _content(file))]), **options)


@import_.command()
@click.argument("files", metavar="RRD...", type=FILE, nargs=-1, required=True)
@click.option("--src", required=True, help="The host or site that SmokePing ran at; a file's name is the other end.")
@click.option("--older", is_flag=True, help="Also the coarser averages of the time before; once.")
@_into_journal
def smokeping(*, files: tuple[Path, ...], src: str, older: bool, **options: Any) -> None:
    """Import RRD files of SmokePing, by the program rrdtool."""
    _commit(_read(files, lambda file: _rrd_sources(file, src, older=older)), **options)


@import_.command()
@click.argument("template", type=FILE)
@click.argument("to", type=FILE)
@_site
def psconfig(*, template: Path, to: Path, naming: tuple[tuple[str, str], ...]) -> None:
    """Make the mesh file TO of a template of pSConfig, and say what has no place in one."""
    if to.exists():
        raise OperatorError(f"{to}: is there already: name another file")
    try:
        values, left_out = mesh_tables(_content(template), dict(naming))
    except NotCarriedOverError as error:
        raise OperatorError(f"{template}: {error}") from None
    mesh = settings.validate(values, Mesh, str(template))
    _say_left_out(left_out)
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(tomlkit.dumps(values))
    except OSError as error:
        raise OperatorError(f"{to}: cannot be written: {error.strerror}") from None
    links = sum(1 for _ in mesh.pairs())
    echo(f"{to}: {count(len(mesh.sites), 'site')}, {count(links, 'link')}")


def _read(files: Iterable[Path], sources: Callable[[Path], list[ImportSource]]) -> Iterator[ImportSource]:
    """The sources of the files; of one that is none, what is wrong with it."""
    for file in files:
        try:
            yield from sources(file)
        except NotCarriedOverError as error:
            yield ImportSource(file.name, "", (), left_out=(str(error),))


def _content(file: Path) -> bytes:
    """What a file has, without a mark of UTF-8. Raises OperatorError, and NotCarriedOverError for one in UTF-16."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise OperatorError(f"{file}: cannot be read: {error.strerror}") from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes what it redirects
        raise NotCarriedOverError("is text in UTF-16: write it in UTF-8")
    return content.removeprefix(codecs.BOM_UTF8)


def _commit(found: Iterable[ImportSource], *, mesh: Path, naming: tuple[tuple[str, str], ...], data_dir: Path) -> None:
    """Commit the sources to a journal that no collector has open, and say what was new. Raises OperatorError."""
    sources = list(found)
    sites = sites_of({host for source in sources for host in source.hosts}, load_mesh(mesh), dict(naming))
    path = data_dir / JOURNAL_FILE
    if not path.is_file():
        raise OperatorError(f"{path}: there is no journal: name its folder with --data-dir")
    if is_held(path):
        raise OperatorError(f"journal {path}: is in use: stop the collector first")
    left_out: list[str] = []
    reports, new = 0, 0
    with private_umask():
        journal = Journal(path)
        try:
            for source in sources:
                entries, sentences = entries_of(source, sites)
                left_out += [f"{source.name}: {sentence}" for sentence in sentences]
                measured = [entry for entry in entries if entry.report.rows]
                reports += len(measured)
                for start in range(0, len(entries), _BATCH):
                    new += sum(1 for entry in journal.commit(entries[start : start + _BATCH]) if entry.report.rows)
        finally:
            journal.close()
    _say_left_out(left_out)
    if not reports:
        echo(f"nothing imported: no measurement in {count(len(sources), 'source')} can be carried over")
        raise SystemExit(EXIT_FAILED)
    echo(f"{count(new, 'measurement')} of {count(len(sources), 'source')} imported, {reports - new} were there already")


def _say_left_out(sentences: list[str]) -> None:
    for sentence in sentences[:_SHOWN]:
        echo(f"not carried over: {sentence}", err=True)
    if len(sentences) > _SHOWN:
        echo(f"not carried over: {len(sentences) - _SHOWN} more", err=True)


def _rrd_sources(file: Path, src: str, *, older: bool) -> list[ImportSource]:
    spans = smokeping_data.archives(_rrdtool("info", file))
    sources = []
    for span in spans if older else spans[:1]:
        ends = {"--resolution": span.step_s, "--start": span.start, "--end": span.end - 1}
        fetched = _rrdtool("fetch", file, "AVERAGE", *(str(part) for option in ends.items() for part in option))
        sources.append(smokeping_data.smokeping_source(file.name, src, file.stem, span, fetched))
    return sources


def _rrdtool(word: str, file: Path, *arguments: str) -> str:
    program = shutil.which("rrdtool")
    if program is None:
        raise OperatorError("SmokePing's files are read by the program rrdtool: apt install rrdtool")
    # Numbers with a point, whatever the language of the terminal is.
    environment: Mapping[str, str] = {**os.environ, "LC_ALL": "C"}
    command = [program, word, str(file.absolute()), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=_RRDTOOL_S, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OperatorError(f"{file}: rrdtool fails: {error}") from None
    if done.returncode:
        raise NotCarriedOverError(done.stderr.strip() or "rrdtool cannot read it")
    return done.stdout
