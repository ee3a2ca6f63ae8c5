"""Messages reach a real mail server, a real web server and a real program; what fails says why in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from collector.named_tables import AlertmanagerTable, AppriseTable, CommandTable
from collector.notify.digest import message
from collector.notify.targets import sender
from linkweather.cli.root import main
from linkweather.errors import OperatorError
from tests import servers
from tests.collector.notify.receivers import mail_server, web_server
from tests.collector.notify.test_digest import LATER, incident

ONE = message([incident()])


def _command(*command: str, timeout_s: float = 10.0) -> CommandTable:
    return CommandTable(kind="command", command=command, timeout_s=timeout_s)


def test_a_mail_arrives_with_subject_and_sentence() -> None:
    with mail_server(servers.free_port()) as box:
        url = f"mailto://127.0.0.1:{box.port}?from=linkweather@example.org&to=ops@example.org&mode=insecure"
        assert sender("mail", AppriseTable(kind="apprise", urls=(url,)))(ONE) is None
    (mail,) = box.mails
    assert mail["Subject"] == "linkweather: i1 is down"
    body = mail.get_body(("plain",))
    assert body is not None
    assert body.get_content().strip() == "critical: i1 is down; traffic a → b goes through c"


def test_a_web_hook_gets_the_message(tmp_path: Path) -> None:
    with web_server() as server:
        file = tmp_path / "urls"
        file.write_text(f"# who is told\n\n{server.url.replace('http', 'json')}/hook\n")
        assert sender("hook", AppriseTable(kind="apprise", urls_file=file))(ONE) is None
        ((path, body),) = server.requests
        assert path == "/hook"
        assert json.loads(body)["title"] == "linkweather: i1 is down"
        server.status = 500
        assert sender("hook", AppriseTable(kind="apprise", urls_file=file))(ONE) is not None


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (AppriseTable(kind="apprise"), "notify.x: urls or urls_file must name at least one URL"),
        (AppriseTable(kind="apprise", urls=("nonsense://secret",)), "notify.x: URL 1 is none that Apprise knows"),
    ],
)
def test_what_can_never_work_is_refused_without_a_password(table: AppriseTable, words: str) -> None:
    with pytest.raises(OperatorError) as refused:
        sender("x", table)
    assert str(refused.value) == words


def test_a_file_of_urls_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"notify\.x: urls_file .*urls: cannot be read"):
        sender("x", AppriseTable(kind="apprise", urls_file=tmp_path / "urls"))


def test_a_command_gets_the_message_as_json(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert sender("pager", _command("sh", "-c", f"cat > {out}"))(ONE) is None
    document = json.loads(out.read_text())
    assert document["subject"] == "linkweather: i1 is down"
    assert document["incidents"][0]["id"] == "i1"


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (_command("sh", "-c", "exit 3"), "sh ended with status 3"),
        (_command("/no/such/program"), "/no/such/program cannot be run: No such file or directory"),
        (_command("sleep", "60", timeout_s=0.1), "sleep did not end within 0.1 s"),
    ],
)
def test_a_command_that_fails_says_how(table: CommandTable, problem: str) -> None:
    assert sender("pager", table)(ONE) == problem


def test_alertmanager_gets_alerts_that_start_and_end() -> None:
    with web_server() as server:
        send = sender("am", AlertmanagerTable(kind="alertmanager", url=f"{server.url}/"))
        assert send(message([incident("i1"), incident("i2", until=LATER)])) is None
        ((path, body),) = server.requests
        server.status = 503
        assert str(send(ONE)).startswith(f"{server.url}/api/v2/alerts answers 503")
    assert path == "/api/v2/alerts"
    lasting, over = json.loads(body)
    assert lasting["labels"] == {
        "alertname": "linkweather_link_down",
        "severity": "critical",
        "cause": "a – b",
        "incident": "i1",
    }
    assert lasting["endsAt"] > lasting["startsAt"]
    assert over["endsAt"] == LATER.isoformat()
    assert "does not answer" in str(send(ONE))


CONFIG = """
[notify.pager]
kind = "command"
command = ["true"]
[notify.deaf]
kind = "command"
command = ["false"]
"""


def _run(file: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["notify", "test", "--config", str(file), *arguments])
    return result.exit_code, result.output


def test_the_command_tries_each_target(tmp_path: Path) -> None:
    file = tmp_path / "collector.toml"
    file.write_text(CONFIG)
    assert _run(file) == (1, "pager: delivered\ndeaf: false ended with status 1\n")
    assert _run(file, "pager") == (0, "pager: delivered\n")
    assert _run(file, "nobody") == (2, f"Error: {file}: has no table [notify.nobody]; it has deaf, pager\n")
    file.write_text("")
    assert _run(file) == (2, f"Error: {file}: has no table [notify.NAME]; it has none\n")
