"""A release is made of a tagged commit with its section in the changelog, or not at all; its pins have hashes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree with the script, and the tag v7.3.0."""
    (tmp_path / "packaging").mkdir()
    shutil.copy(ROOT / "packaging" / "release.sh", tmp_path / "packaging")
    (tmp_path / "CHANGELOG.md").write_text("## Unreleased\n\n- New.\n\n## 7.2.0\n\n- Old.\n", encoding="utf-8")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "All."], ["tag", "v7.3.0"]):
        run("git", "-c", "user.name=a", "-c", "user.email=a@example.org", *command, cwd=tmp_path)
    return tmp_path


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("tag", "changed", "sentence"),
    [
        ("v7.2.0", False, "this commit has not the tag v7.2.0"),
        ("v7.3.0", True, "this tree has changes: a release is what the tag has"),
        ("v7.3.0", False, "CHANGELOG.md has no section '## 7.3.0'"),
    ],
)
def test_a_release_of_anything_but_a_described_tag_is_refused(
    tree: Path, tag: str, sentence: str, *, changed: bool
) -> None:
    if changed:
        (tree / "CHANGELOG.md").write_text("", encoding="utf-8")
    done = run("bash", "packaging/release.sh", tag, cwd=tree)
    assert (done.returncode, done.stderr) == (2, f"release.sh: {sentence}\n")


def test_a_release_keeps_its_files_for_the_tests_of_later_ones(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text("## 7.3.0\n\n- New.\n", encoding="utf-8")
    for command in (["commit", "-qam", "Described."], ["tag", "-f", "v7.3.0"]):
        run("git", "-c", "user.name=a", "-c", "user.email=a@example.org", *command, cwd=tree)
    done = run("bash", "packaging/release.sh", "v7.3.0", cwd=tree)
    assert done.stderr == "release.sh: tests/packaging/releases has no files of 7.3.0: CONTRIBUTING.md, Release\n"


def test_pins_name_all_that_came_from_an_index_with_its_hash(tmp_path: Path) -> None:
    def item(name: str, *, is_direct: bool) -> dict[str, object]:
        info = {"archive_info": {"hashes": {"sha256": name * 2}}}
        return {"metadata": {"name": name, "version": "1.0"}, "download_info": info, "is_direct": is_direct}

    report = {"install": [item("b", is_direct=False), item("A", is_direct=False), item("ours", is_direct=True)]}
    (tmp_path / "report.json").write_text(json.dumps(report), encoding="utf-8")
    done = run(sys.executable, str(ROOT / "packaging" / "pinned.py"), "report.json", cwd=tmp_path)
    assert done.stdout == "a==1.0 --hash=sha256:AA\nb==1.0 --hash=sha256:bb\n"


def test_the_workflow_makes_what_the_targets_and_scripts_make() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    runs = re.findall(r"- run: (.*)", text)
    assert [line for line in runs if "packaging/" in line or "make " in line][1:] == [
        "make deb",
        'bash packaging/release.sh "$GITHUB_REF_NAME"',
    ]
    assert 'tags: ["v*"]' in text
