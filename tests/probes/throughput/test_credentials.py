from __future__ import annotations

import stat
from pathlib import Path

import pytest

from linkweather.errors import OperatorError
from probes.throughput.credentials import Credential, key_pair, private_file, users_line
from tests.probes.throughput import programs


def test_the_list_of_users_holds_the_hash_of_user_in_braces_and_password() -> None:
    # printf '{probe}s3cret' | sha256sum
    digest = "06b89704fa3b3071e9fe278a0b676bee4e78e9cccfd295860a5e6458a8fa8f64"
    assert users_line("probe", "s3cret") == f"probe,{digest}\n"


async def test_keys_are_made_once_and_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    keys = await key_pair(folder)
    assert keys.public_pem.startswith("-----BEGIN PUBLIC KEY-----")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert await key_pair(folder) == keys
    assert programs.children() == []


def damaged_in(folder: Path) -> list[Path]:
    return list(folder.glob("iperf3-private.pem.damaged-*"))


async def test_damaged_keys_are_set_aside_and_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = await key_pair(tmp_path)
    first.private_path.write_bytes(b"garbage")
    second = await key_pair(tmp_path)
    assert second.public_pem != first.public_pem
    assert second.private_path.read_text().startswith("-----BEGIN RSA PRIVATE KEY-----")
    (aside,) = damaged_in(tmp_path)
    assert aside.read_bytes() == b"garbage"
    assert aside.name in caplog.text


async def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match=r"file/keys: cannot keep iperf3's keys there"):
        await key_pair(tmp_path / "file" / "keys")


async def test_keys_that_cannot_be_made_are_the_operators_matter(tmp_path: Path) -> None:
    (tmp_path / "iperf3-private.pem").mkdir()
    with pytest.raises(OperatorError, match=r"cannot make iperf3's keys"):
        await key_pair(tmp_path)


def test_a_private_file_is_gone_after_its_block(tmp_path: Path) -> None:
    with private_file("text", tmp_path) as path:
        assert path.read_text() == "text"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_not_shown() -> None:
    assert "s3cret" not in repr(Credential("s3cret", "pem"))
