"""The alerts of config/prometheus: promtool checks them and tries each."""

from __future__ import annotations

import re
import subprocess

from tests import servers
from tests.documents import ROOT, read

ALERTS = "config/prometheus/alerts.yml"
TESTS = "tests/prometheus/alerts_test.yml"


def promtool(*arguments: str) -> tuple[int, str]:
    command = [servers.require("promtool"), *arguments]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return found.returncode, found.stdout + found.stderr


def test_the_example_settings_and_the_alerts_are_valid() -> None:
    status, said = promtool("check", "config", "config/prometheus/prometheus.yml")
    assert (status, "14 rules found" in said) == (0, True), said


def test_every_alert_fires_for_what_it_is_meant_for_and_not_before() -> None:
    status, said = promtool("test", "rules", TESTS)
    assert status == 0, said
    for alert in re.findall(r"- alert: (\w+)", read(ALERTS)):
        assert f"alertname: {alert}\n" in read(TESTS)  # fires
        assert f"alertname: {alert}}}\n" in read(TESTS)  # does not
