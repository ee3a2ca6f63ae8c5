"""Every settings file in tests/bad_config is refused with its one sentence, and exit status 2."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from linkweather.cli.root import main

FOLDER = Path(__file__).parent / "bad_config"
# folder → the command that reads its files; the file comes last.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "mesh": ("mesh", "check"),
    "collector": ("collector", "--data-dir", "{data}", "--config"),
    "probe": ("probe", "--data-dir", "{data}", "--config"),
}
ADDRESS = "must be an IPv4 address, an IPv6 address or a host name"
BROKER = 'must be "embedded", mqtt://host[:port], mqtts://host[:port] or unix:///path'
# folder/file → what is said after the file's name and a colon; a sentence with {folder} is all that is said.
SENTENCES: Mapping[str, str] = {
    "mesh/bad_host_name": f"sites.a.address = 'two words': {ADDRESS}",
    "mesh/bad_prefix": "sites.a.prefixes[0] = '192.0.2.1/24': must be a prefix such as 192.0.2.0/24 or 2001:db8::/32",
    "mesh/bad_site_id": "sites.Beijing: a site id has 1 to 32 of a–z, 0–9 and -, and starts with a letter or digit",
    "mesh/budget_too_small": "throughput.budget_bytes_per_day = 1000: must be at least 16777216",
    "mesh/control_character": "name = 'two\\x07': must have no control characters",
    "mesh/duplicate_address": "sites.b.address = '192.0.2.1': already the address of site a, with the same port",
    "mesh/duplicate_link": "links[1]: the link b → a is declared twice",
    "mesh/duplicate_site": "sites.a at line 4: declared twice; declare it once",
    "mesh/empty_sites": "sites = a table: must have at least 1 entry",
    "mesh/group_between_and_sites": ("groups[2]: between: the sites are those of the two groups; name no others"),
    "mesh/group_between_one": "groups[1]: between: must name two groups",
    "mesh/group_between_unknown": "groups[0].between[0] = 'g': no such group above, there is none",
    "mesh/group_empty_sites": "groups[0].sites = []: must name at least one; without the key it is all sites",
    "mesh/group_empty_name": "groups[0].name = '': must have at least 1 character",
    "mesh/group_nearest_none": "groups[0].nearest = 0: must be at least 1",
    "mesh/group_of_none": "groups[0].region = 'North': no site of the mesh has that",
    "mesh/group_twice": "groups[1].name = 'g': another group has this name",
    "mesh/group_two_patterns": "groups[0]: hubs and nearest: a group has one of hubs, nearest and between",
    "mesh/group_unknown_hub": "groups[0].hubs[0] = 'c': no such site; the mesh has a, b",
    "mesh/group_unknown_key": "groups[0].colour = 'red': no such key",
    "mesh/group_unknown_site": "groups[0].sites[1] = 'c': no such site; the mesh has a, b",
    "mesh/group_unknown_test": "groups[0].latency.timeout_s = 1.0: no such key",
    "mesh/group_without_coordinates": (
        "groups[0].nearest = 1: needs latitude and longitude of each site; a, b lack them"
    ),
    "mesh/group_without_name": "groups[0].name: required, but missing",
    "mesh/groups_no_array": "groups = a table: must be an array",
    "mesh/impossible_latitude": "sites.a.latitude = 91.0: must be at most 90",
    "mesh/infinity": "latency.report_interval_s = inf: must be a finite number",
    "mesh/link_to_itself": "links[0].dst = 'a': a link joins two different sites",
    "mesh/links_no_array": "links = a table: must be an array",
    "mesh/missing_address": "sites.a.address: required, but missing",
    "mesh/nan": "latency.timeout_s = nan: must be a finite number",
    "mesh/negative_interval": "throughput.every_s = -1.0: must be at least 0",
    "mesh/no_sites": "sites: required, but missing",
    "mesh/not_toml": "is not TOML: expected newline or end of document after a statement (at line 2, column 16)",
    "mesh/not_utf8": "is not UTF-8 text",
    "mesh/port_out_of_range": "sites.a.port = 0: must be at least 1",
    "mesh/repeated_key": "a key at line 3: declared twice; declare it once",
    "mesh/reserved_site": "sites.collector: reserved for the collector; call the site otherwise",
    "mesh/slot_too_short": (
        "throughput: slot_s = 3.0: must be at least 3.5, max_duration_s and 0.5 s to arrange a test"
    ),
    "mesh/unknown_key": "sites.a.colour = 'red': no such key",
    "mesh/unknown_method": (
        "sites.a.method = 'smoke': no prober is called 'smoke'; installed are http, icmp, stamp, tcp"
    ),
    "mesh/unknown_site": "links[0].dst = 'c': no such site; the mesh has a, b",
    "mesh/unknown_table": "speed = a table: no such key",
    "mesh/unparsable_address": f"sites.a.address = '192.0.2.300': {ADDRESS}",
    "mesh/wrong_type": "sites.a.port = '8620': must be a whole number",
    "mesh/zero_interval": "latency.interval_s = 0.0: must be at least 0.01",
    "probe/bad_address": f"bind[0] = '10.0.0.256': {ADDRESS}",
    "probe/bad_broker_url": (
        "broker = 'localhost:1883': must be mqtt://host[:port], mqtts://host[:port] or unix:///path"
    ),
    "probe/bad_prefix": "allow[0] = 'everybody': must be a prefix such as 192.0.2.0/24 or 2001:db8::/32",
    "probe/bad_site_id": "site = 'North': a site id has 1 to 32 of a–z, 0–9 and -, and starts with a letter or digit",
    "probe/metrics_port": "metrics.port = 0: must be at least 1",
    "probe/no_site": "site: required, but missing",
    "probe/outbox_too_small": "outbox_max_bytes = 1000: must be at least 65536",
    "probe/password": (
        "broker = 'http://north:***@192.0.2.1': must be mqtt://host[:port], mqtts://host[:port] or unix:///path"
    ),
    "probe/reserved_site": "site = 'collector': reserved for the collector; call the site otherwise",
    "probe/ports_backwards": "throughput_ports = [5210, 5201]: the first port must not be above the last",
    "probe/unknown_key": "brocker = 'mqtt://127.0.0.1': no such key",
    "probe/wrong_type": "throughput_ports = '5201-5210': must be an array",
    "collector/bad_broker_port": f"broker = 'mqtt://127.0.0.1:99999': {BROKER}",
    "collector/bad_broker_url": f"broker = 'http://127.0.0.1:1883': {BROKER}",
    "collector/bad_port": "api.port = 70000: must be at most 65535",
    "collector/notify_no_table": "notify.ops = 3: must be a table",
    "collector/notify_bad_url": "notify.ops.url = '127.0.0.1:9093': must be http://host:port or https://host:port",
    "collector/notify_no_command": "notify.ops.command = []: must have at least 1 entry",
    "collector/notify_unknown_key": "notify.ops.url = 'x': no such key",
    "collector/notify_unknown_kind": (
        "notify.ops.kind = 'smoke signals': must be 'alertmanager', 'apprise' or 'command'"
    ),
    "collector/notify_without_kind": "notify.ops.kind = None: must be 'alertmanager', 'apprise' or 'command'",
    "collector/influx_bad_url": "sinks.influx.url = '127.0.0.1:8086': must be http://host:port or https://host:port",
    "collector/influx_without_target": (
        "sinks.influx: either database (InfluxDB 1.x) or bucket (InfluxDB 2.x, 3.x, VictoriaMetrics) is required"
    ),
    "collector/influx_without_url": "sinks.influx.url: required, but missing",
    "collector/influx_old_table": "influx = a table: no such key",
    "collector/sink_unknown_kind": "sinks.cellar.kind = 'parket': must be 'influx', 'mqtt' or 'parquet'",
    "collector/sink_without_kind": "sinks.cellar.kind = 'cellar': must be 'influx', 'mqtt' or 'parquet'",
    "collector/sink_unknown_key": "sinks.influx.organisation = 'lab': no such key",
    "collector/sink_wrong_value": "sinks.main.batch_rows = 0: must be at least 1",
    "collector/cluster_of_nothing": ('cluster: either share = "1/4" or kafka = "host:port,…", and not both'),
    "collector/share_of_none": (
        "cluster.share = '5/4': must be one of so many, such as \"1/4\", and at most 1000 of them"
    ),
    "collector/sink_bad_name": (
        "sinks.my influx: must be 1 to 32 of a–z, 0–9, - and _, and start with a letter or digit"
    ),
    "collector/sinks_no_table": "sinks = 3: must be a table",
    "collector/sink_no_table": "sinks.influx = 'http://127.0.0.1:8086': must be a table",
    "collector/keep_too_long": "journal.minute_days = 40000.0: must be at most 36500, or inf",
    "collector/keep_nothing": "journal.keep_days = 0.0: must be greater than 0",
    "collector/missing_mesh": (
        "mesh = '{folder}/nowhere.toml': there is no such file: write one, or name another with --mesh"
    ),
    "collector/missing_token_file": (
        "api.token_file = '{folder}/nowhere.token': cannot be read: No such file or directory"
    ),
    "collector/recover_never": "state.recover_after_rows = 0: must be at least 1",
    "collector/too_little_memory": "journal.memory_limit_mb = 1: must be at least 64",
    "collector/unknown_key": "brokr = 'embedded': no such key",
    "collector/unknown_key_in_a_table": "api.adress = '127.0.0.1': no such key",
    "collector/wrong_path": "data_dir = 7: must be a path in quotes",
    "collector/wrong_type": "broker_port = '1883': must be a whole number",
}


def expected(case: str) -> str:
    folder, _, name = case.partition("/")
    sentence = SENTENCES[case]
    whole = sentence if "{folder}" in sentence else f"{name}.toml: {sentence}"
    return "Error: " + whole.replace("{folder}", str(FOLDER / folder)) + "\n"


def command(case: str, data: Path) -> list[str]:
    folder, _, name = case.partition("/")
    return [*(part.replace("{data}", str(data)) for part in COMMANDS[folder]), f"{name}.toml"]


def test_every_file_has_its_sentence() -> None:
    files = {f"{path.parent.name}/{path.stem}" for folder in COMMANDS for path in (FOLDER / folder).glob("*.toml")}
    assert files == set(SENTENCES)


@pytest.mark.parametrize("case", sorted(SENTENCES))
def test_a_bad_file_is_one_sentence_and_status_2(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER / case.partition("/")[0])
    result = CliRunner().invoke(main, command(case, tmp_path))
    assert (result.output, result.exit_code) == (expected(case), 2)


@pytest.mark.parametrize("case", ["mesh/unknown_key", "collector/missing_mesh"])
def test_the_installed_command_says_the_same(case: str, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("linkweather")
    result = subprocess.run(
        [str(program), *command(case, tmp_path)],
        cwd=FOLDER / case.partition("/")[0],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.stderr, result.stdout, result.returncode) == (expected(case), "", 2)
