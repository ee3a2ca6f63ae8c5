"""Ad hoc tests in a file: what is read back, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from linkweather.errors import OperatorError
from probes.adhoc import saved

TEST: dict[str, Any] = {
    "host": "a",
    "latency": {"method": "stamp", "sent": 2, "received": 1, "rtts_s": [0.02, None]},
    "later": 1,
}


def test_one_test_and_several_are_read_back(tmp_path: Path) -> None:
    unresolved: dict[str, Any] = {"host": "b", "failure": "unresolved"}
    for documents in ([TEST], [TEST, unresolved]):
        saved.write(tmp_path / "file", saved.together(documents))
        tests = saved.read(tmp_path / "file")
        assert list(tests) == [document["host"] for document in documents]
        assert tests["a"].latency is not None
        assert tests["a"].latency.rtts_s == (0.02, None)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "it is no JSON"),
        ("\xff", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("[]", "the document: Input should be a valid dictionary or instance of SavedTest"),
        ("{}", "host: Field required"),
        ('{"tests": 1}', "tests: Input should be a valid tuple"),
        (
            '{"host": "a", "latency": {"method": "icmp", "sent": 1, "received": 2}}',
            "latency: Value error, received exceeds sent",
        ),
        (
            '{"host": "a", "throughput": {"method": "", "direction": "reverse", "datagrams": {"sent": 1, "lost": 2}}}',
            "throughput.datagrams: Value error, lost exceeds sent",
        ),
        (
            '{"host": "a", "latency": {"method": "icmp", "sent": 1, "received": 1, "rtt_p50_s": NaN}}',
            "latency.rtt_p50_s: Input should be a finite number",
        ),
    ],
)
def test_a_file_that_was_not_saved_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "file"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(OperatorError) as refused:
        saved.read(path)
    assert str(refused.value) == f"{path}: was not written by --save: {sentence}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="none: cannot be read: No such file or directory"):
        saved.read(tmp_path / "none")


def test_a_place_that_cannot_be_written_is_named_before_anything_is_measured(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "no" / "file"):
        with pytest.raises(OperatorError, match="cannot be written: name a file in a folder that exists"):
            saved.check_place(place)
    saved.check_place(tmp_path / "file")


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OperatorError, match="cannot be written: Is a directory"):
        saved.write(tmp_path / "file", TEST)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
