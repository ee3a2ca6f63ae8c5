"""Steps are taken, listed and taken back; what an operator has or changed is neither overwritten nor removed."""

from __future__ import annotations

import getpass
import grp
import json
import os
from pathlib import Path

import pytest

from linkweather.errors import OperatorError
from linkweather.installation.performer import Installation
from linkweather.installation.steps import Folder, Program, Step, TextFile, User

ME = getpass.getuser()
GROUP = grp.getgrgid(os.getgid()).gr_name


class Machine:
    """A folder in the place of a machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "etc"
        self.made = root / "var" / "installed.json"

    def file(self, text: str, *, settings: bool = False) -> TextFile:
        return TextFile(self.config / "a.toml", text, 0o600, ME, GROUP, settings=settings)

    def steps(self, text: str = "one") -> list[Step]:
        return [User(ME), Folder(self.config, 0o750, ME, GROUP), self.file(text)]

    def perform(self, *steps: Step) -> None:
        Installation(self.made).perform(steps)

    def undo(self, *, data: bool = False) -> list[str]:
        return list(Installation(self.made).undo(data=data))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_steps_are_taken_and_taken_back(machine: Machine) -> None:
    machine.perform(*machine.steps())
    assert (machine.config / "a.toml").read_text() == "one"
    assert (machine.config / "a.toml").stat().st_mode & 0o777 == 0o600
    assert machine.config.stat().st_mode & 0o777 == 0o750
    assert machine.undo() == [f"removed {machine.config}/a.toml", f"removed {machine.config}"]
    assert not machine.config.exists()
    assert not machine.made.exists()
    assert Installation(machine.made).empty


def test_the_same_steps_again_change_nothing(machine: Machine) -> None:
    machine.perform(*machine.steps())
    made = machine.made.read_text()
    machine.perform(*machine.steps())
    assert machine.made.read_text() == made


def test_a_file_of_ours_is_replaced_by_a_later_plan(machine: Machine) -> None:
    machine.perform(*machine.steps())
    machine.perform(*machine.steps("two"))
    assert (machine.config / "a.toml").read_text() == "two"
    assert machine.undo()[0] == f"removed {machine.config}/a.toml"


def test_a_file_that_somebody_else_made_is_refused_before_any_step(machine: Machine) -> None:
    machine.config.mkdir()
    (machine.config / "a.toml").write_text("theirs")
    with pytest.raises(OperatorError, match=r"a\.toml: is there already"):
        machine.perform(Folder(machine.root / "new", 0o700, ME, GROUP), machine.file("one"))
    assert not (machine.root / "new").exists()
    assert (machine.config / "a.toml").read_text() == "theirs"


def test_settings_that_an_operator_changed_stay(machine: Machine) -> None:
    machine.perform(*machine.steps()[:2], machine.file("one", settings=True))
    (machine.config / "a.toml").write_text("mine")
    machine.perform(machine.file("two", settings=True))
    assert (machine.config / "a.toml").read_text() == "mine"
    assert machine.undo()[0] == f"kept    {machine.config}/a.toml: it was changed since"
    assert (machine.config / "a.toml").read_text() == "mine"


def test_data_goes_only_when_asked(machine: Machine) -> None:
    data = Folder(machine.root / "data", 0o700, ME, GROUP, data=True)
    machine.perform(data)
    (data.path / "journal").write_text("record")
    assert machine.undo() == [f"kept    {data.path}"]
    assert (data.path / "journal").exists()
    data.path.joinpath("journal").unlink()
    data.path.rmdir()
    machine.perform(data)
    (data.path / "journal").write_text("record")
    assert machine.undo(data=True) == [f"removed {data.path}"]
    assert not data.path.exists()


def test_data_of_an_earlier_installation_and_of_a_package_goes_when_asked(machine: Machine) -> None:
    data = Folder(machine.root / "data", 0o700, ME, GROUP, data=True)
    data.path.mkdir()
    for _ in range(2):
        machine.perform(data)
        assert machine.undo() == [f"kept    {data.path}"]
    machine.perform(data)
    assert machine.undo(data=True) == [f"removed {data.path}"]
    assert not data.path.exists()


def test_a_folder_with_files_of_others_stays(machine: Machine) -> None:
    machine.perform(*machine.steps())
    (machine.config / "theirs").write_text("")
    assert machine.undo()[-1] == f"kept    {machine.config}: it has other files"


def test_what_a_program_did_is_undone_once(machine: Machine) -> None:
    flag = machine.root / "flag"
    step = Program(("touch", str(flag)), ("rm", str(flag)))
    machine.perform(step, step)
    assert flag.exists()
    assert machine.undo() == [f"ran     rm {flag}"]
    assert not flag.exists()


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("no-such-program-here",), "no-such-program-here is not installed"),
        (("sh", "-c", "echo no >&2; exit 3"), "no$"),
    ],
)
def test_a_step_that_fails_is_named_and_those_before_can_be_taken_back(
    machine: Machine, argv: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(OperatorError, match=sentence):
        machine.perform(*machine.steps(), Program(argv))
    assert len(machine.undo()) == 2


def test_a_machine_that_died_before_a_step_can_be_cleaned(machine: Machine) -> None:
    """The list is ahead of the machine: what it names may not be there yet."""
    machine.perform(*machine.steps())
    (machine.config / "a.toml").unlink()
    assert machine.undo() == [f"removed {machine.config}"]


def test_a_list_that_cannot_be_read_is_named(machine: Machine) -> None:
    machine.made.parent.mkdir()
    machine.made.write_text("garbage")
    with pytest.raises(OperatorError, match="what is installed here is unknown"):
        Installation(machine.made)


def test_the_list_is_for_its_owner_alone(machine: Machine) -> None:
    machine.perform(*machine.steps())
    assert machine.made.stat().st_mode & 0o777 == 0o600
    assert {entry["kind"] for entry in json.loads(machine.made.read_text())} == {"folder", "file"}
