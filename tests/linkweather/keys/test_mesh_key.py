"""The mesh's key: what its file may hold, and three steps to another key."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from linkweather.errors import OperatorError
from linkweather.keys import mesh_key
from linkweather.keys.mesh_key import parse, read_keys

A, B = "a" * 64, "b" * 64


def test_each_step_leaves_a_key_that_the_step_before_accepts() -> None:
    texts = [mesh_key.new_text()]
    for _ in range(4):
        texts.append(mesh_key.rotated(texts[-1])[0])
    keys = [parse(text) for text in texts]
    assert [len(some) for some in keys] == [1, 2, 2, 1, 2]
    for before, after in pairwise(keys):
        assert before[0] in after
        assert after[0] in before
    assert keys[3] != keys[0]
    assert (keys[1], keys[2]) == ((keys[0][0], keys[3][0]), (keys[3][0], keys[0][0]))


def test_a_step_says_what_it_is() -> None:
    said = [mesh_key.rotated(text)[1] for text in (f"{A}\n", f"{A}\n{B} next\n", f"{B}\n{A} previous\n", A)]
    first = "sites accept a next key, too"
    assert said == [first, "the next key signs now, and the one before is accepted", "the previous key is gone", first]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (f"{A}\n", [A]),
        (f"  {A.upper()}  ", [A]),
        (f"{A}\n{B}\n", [A, B]),
        (f"{B}\r\n{A} previous\r\n", [B, A]),
    ],
)
def test_a_file_has_a_key_or_two(text: str, keys: list[str]) -> None:
    assert [key.hex() for key in parse(text)] == keys


@pytest.mark.parametrize("text", ["", "secret", f"{A}0", f"{A}\n{B}\n{A}\n", f"{A} old\n", f"{A}\n\n{B}"])
def test_another_text_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        parse(text)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mesh.key"
    with pytest.raises(OperatorError, match="cannot be read: No such file"):
        read_keys(path)
    path.write_text(A)
    path.chmod(0o640)
    with pytest.raises(OperatorError, match="chmod 600"):
        read_keys(path)
    path.chmod(0o600)
    assert read_keys(path) == (bytes.fromhex(A),)
    path.write_text("no key")
    with pytest.raises(OperatorError, match=r"mesh.key: must hold 64 hexadecimal digits"):
        read_keys(path)
