"""The example that scores nodes: its own process, a real collector, requests as kube-scheduler writes them.

The requests are ExtenderArgs of k8s.io/kube-scheduler v0.34.2, encoded by Go's encoding/json as the scheduler does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import servers
from tests.examples.systems import EXAMPLES, run

PROGRAM = "kube_scheduler_extender.py"
REQUESTS = Path(__file__).parent / "requests"
NODES = ["gz-1", "gz-2", "nm-1", "bj-1", "edge-1"]
SENTENCE = "linkweather: bj has 4 a100, the job needs 8"
# About so, see test_choose_source. At gz: 500 MB from nm at 50 Mbit/s, then 360 s: 440 s. At nm: 2 GB from gz at
# 100 Mbit/s, the queue of 360 s, 360 s, 10 MB back at 50 Mbit/s: 882 s, twice as long.
SCORES = {"gz-1": 10, "gz-2": 10, "nm-1": 5, "bj-1": 0, "edge-1": 0}
NONE = dict.fromkeys(NODES, 0)


@dataclass(frozen=True)
class Running:
    """An extender process."""

    http: httpx.Client
    log: Path
    process: subprocess.Popen[bytes]

    def post(self, verb: str, request: str | bytes) -> httpx.Response:
        return self.http.post(verb, content=request, headers={"Content-Type": "application/json"})

    def filter(self, request: str | bytes) -> Any:
        answer = self.post("/filter", request)
        assert answer.status_code == 200
        return answer.json()

    def scores(self, request: str | bytes) -> dict[str, int]:
        answer = self.post("/prioritize", request)
        assert answer.status_code == 200
        return {entry["Host"]: entry["Score"] for entry in answer.json()}


@contextmanager
def extending(folder: Path, api: str, *more: str) -> Iterator[Running]:
    port, log = servers.free_port(), folder / "extender.log"
    command = (sys.executable, str(EXAMPLES / PROGRAM), "--api", api, "--port", str(port), "--timeout", "10", *more)
    with (
        servers.running(*command, log=log) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=90) as http,
    ):
        servers.wait_until(lambda: servers.responds(f"http://127.0.0.1:{port}/healthz"), "the extender lives")
        yield Running(http, log, process)


@pytest.fixture(scope="module")
def extender(api: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with extending(tmp_path_factory.mktemp("extender"), api) as found:
        yield found


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An extender whose collector is away; it knows where the nodes are."""
    folder = tmp_path_factory.mktemp("lonely")
    (folder / "nodes").write_text("gz-1=gz\n")
    away = f"http://127.0.0.1:{servers.free_port()}"
    with extending(folder, away, "--nodes", str(folder / "nodes")) as found:
        yield found


def recorded(name: str) -> str:
    return (REQUESTS / f"{name}.json").read_text(encoding="utf-8")


def annotated(**changes: str | None) -> str:
    """The recorded request with other annotations; None takes one away."""
    request = json.loads(recorded("nodes"))
    notes = request["Pod"]["metadata"]["annotations"]
    for name, text in changes.items():
        notes[f"linkweather/{name.replace('_', '-')}"] = text
    request["Pod"]["metadata"]["annotations"] = {name: text for name, text in notes.items() if text is not None}
    return json.dumps(request)


def names(result: Any) -> list[str]:
    return [node["metadata"]["name"] for node in result["Nodes"]["items"]]


def test_nodes_of_a_site_that_cannot_run_the_job_are_taken_out_with_the_sentence(extender: Running) -> None:
    result = extender.filter(recorded("nodes"))
    assert names(result) == ["gz-1", "gz-2", "nm-1", "edge-1"]
    assert result["FailedNodes"] == result["FailedAndUnresolvableNodes"] == {"bj-1": SENTENCE}
    assert (result["Error"], "NodeNames" in result) == ("", False)


def test_nodes_come_back_as_they_were_sent(extender: Running) -> None:
    sent = json.loads(recorded("nodes"))["Nodes"]
    sent["items"] = [node for node in sent["items"] if node["metadata"]["name"] != "bj-1"]
    assert extender.filter(recorded("nodes"))["Nodes"] == sent


def test_the_soonest_site_s_nodes_score_10_and_one_that_takes_twice_as_long_5(extender: Running) -> None:
    assert extender.scores(recorded("nodes")) == SCORES


def test_the_scale_is_that_of_the_nodes_that_are_offered(extender: Running) -> None:
    request = json.loads(recorded("nodes"))
    request["Nodes"]["items"] = [node for node in request["Nodes"]["items"] if node["metadata"]["name"] == "nm-1"]
    assert extender.scores(json.dumps(request)) == {"nm-1": 10}


def test_the_field_names_of_older_schedulers_are_read_too(extender: Running) -> None:
    request = json.loads(recorded("nodes"))
    old = json.dumps({"pod": request["Pod"], "nodes": request["Nodes"]})
    assert names(extender.filter(old)) == ["gz-1", "gz-2", "nm-1", "edge-1"]
    assert extender.scores(old) == SCORES


def test_a_label_may_be_a_site_s_compute_id(extender: Running) -> None:
    request = recorded("nodes").replace('"topology.linkweather/site":"gz"', '"topology.linkweather/site":"CN-GZ"')
    assert request.count("CN-GZ") == 2
    assert extender.scores(request) == SCORES


def test_a_site_that_linkweather_does_not_know_is_left_alone(extender: Running) -> None:
    request = recorded("nodes").replace('"topology.linkweather/site":"gz"', '"topology.linkweather/site":"moon"')
    assert names(extender.filter(request)) == ["gz-1", "gz-2", "nm-1", "edge-1"]
    assert extender.scores(request) == NONE | {"nm-1": 10}


def test_a_deadline_and_a_price_take_nodes_out(extender: Running) -> None:
    late = extender.filter(annotated(deadline="12min"))
    assert late["FailedNodes"]["nm-1"].startswith("linkweather: nm misses the deadline of 12.0 min by ")
    dear = extender.filter(annotated(max_price_usd="1"))
    # 0.8 device-hours at 2 USD, and 0.5 GB from nm at 0.02 USD/GB; nm has not said what its devices cost.
    assert dear["FailedNodes"]["gz-1"] == "linkweather: gz costs 1.61 USD; at most 1 USD are allowed"
    assert dear["FailedNodes"]["nm-1"].startswith("linkweather: nm has an unknown price")


def test_pods_without_annotations_are_left_alone(extender: Running) -> None:
    result = extender.filter(recorded("no_annotations"))
    assert (names(result), result["FailedNodes"]) == (NODES, {})
    assert extender.scores(recorded("no_annotations")) == NONE


def test_no_nodes_are_no_nodes(extender: Running) -> None:
    result = extender.filter(recorded("no_nodes"))
    assert (result["Nodes"]["items"], result["FailedNodes"]) == ([], {})
    assert extender.post("/prioritize", recorded("no_nodes")).json() == []


def test_names_alone_are_all_kept_and_equal_and_the_log_says_why(extender: Running) -> None:
    result = extender.filter(recorded("names"))
    assert (result["NodeNames"], result["FailedNodes"], "Nodes" in result) == (NODES, {}, False)
    assert extender.scores(recorded("names")) == NONE
    assert "pod train-7: no node with a known site; node names alone need --nodes" in extender.log.read_text()


def test_with_a_file_of_nodes_names_alone_are_filtered_and_scored(api: str, tmp_path: Path) -> None:
    file = tmp_path / "nodes"
    file.write_text("# node=site\ngz-1=gz\ngz-2 = CN-GZ\n\nnm-1=nm\nbj-1=bj\n")
    with extending(tmp_path, api, "--nodes", str(file)) as extender:
        result = extender.filter(recorded("names"))
        assert result["NodeNames"] == ["gz-1", "gz-2", "nm-1", "edge-1"]
        assert (result["FailedNodes"], "Nodes" in result) == ({"bj-1": SENTENCE}, False)
        assert extender.scores(recorded("names")) == SCORES


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": "gz"}, "linkweather/data = 'gz': must be NAME=VALUE,NAME=VALUE…"),
        ({"data": "gz=2XB"}, "the annotations: data[0].bytes = '2XB': must be a size in bytes such as 2TB"),
        ({"data": None}, "the annotations: data = []: must have at least 1 entry"),
        ({"data": "moon=2TB"}, "data[0].site = 'moon': no such site; the mesh has gz, nm, bj, island"),
        ({"devices": "a100=many"}, "linkweather/devices, linkweather/work-device-hours: invalid literal for int()"),
        ({"devices": "a100=8,h100=1"}, "linkweather/work-device-hours = '0.8': must have the hours of each type"),
        ({"work_device_hours": None}, "linkweather/devices, linkweather/work-device-hours: could not convert"),
        ({"work_device_hours": "nan"}, "the annotations: devices[0].work_device_hours = nan: must be a finite number"),
        ({"deadline": "soon"}, "the annotations: deadline_s = 'soon': must be a duration"),
        ({"max_price_usd": "-1"}, "the annotations: max_price_usd = '-1': must be a price"),
        ({"dead_line": "6h"}, "linkweather/dead-line: no such annotation"),
    ],
)
def test_annotations_that_are_no_job_hold_no_pod_up(
    extender: Running, changes: dict[str, str | None], sentence: str
) -> None:
    result = extender.filter(annotated(**changes))
    assert (names(result), result["FailedNodes"], result["Error"]) == (NODES, {}, "")
    assert extender.scores(annotated(**changes)) == NONE
    assert f"pod train-7 is scheduled without linkweather: {sentence}" in extender.log.read_text()


def test_several_types_of_devices_are_one_job(extender: Running) -> None:
    request = annotated(devices="a100=8, h100=1", work_device_hours="a100=0.8, h100=0.1")
    assert extender.filter(request)["FailedNodes"]["gz-1"] == "linkweather: gz has no h100, only a100"


@pytest.mark.parametrize("request_name", ["nodes", "names"])
def test_without_a_collector_no_pod_is_held_up(lonely: Running, request_name: str) -> None:
    result = lonely.filter(recorded(request_name))
    assert (names(result) if request_name == "nodes" else result["NodeNames"]) == NODES
    assert (result["FailedNodes"], result["Error"]) == ({}, "")
    assert lonely.scores(recorded(request_name)) == NONE


def test_the_log_says_that_the_collector_is_away(lonely: Running) -> None:
    lonely.filter(recorded("nodes"))
    assert "pod train-7 is scheduled without linkweather: the collector at http://127.0.0.1:" in lonely.log.read_text()
    assert "Traceback" not in lonely.log.read_text()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "Invalid JSON: EOF while parsing a value at line 1 column 0"),
        (b'{"Pod": ', "Invalid JSON: EOF while parsing a value at line 1 column 8"),
        (b"[]", "Input should be an object"),
        (b"{}", "Field required"),
        (b'{"Pod": null, "Nodes": null}', "Input should be an object"),
        (b'{"Pod": {"metadata": {}}, "Nodes": null, "NodeNames": null}', "Value error, neither Nodes nor NodeNames"),
        (b'{"Pod": {"metadata": {}}, "Nodes": {"items": [{}]}}', "Field required"),
        (b'{"Pod": {"metadata": {}}, "NodeNames": [1]}', "Input should be a valid string"),
        (b'{"Pod": {"metadata": {"annotations": []}}, "NodeNames": []}', "Input should be an object"),
    ],
)
@pytest.mark.parametrize("verb", ["/filter", "/prioritize"])
def test_what_is_no_extender_args_is_refused_in_one_sentence(
    extender: Running, verb: str, body: bytes, sentence: str
) -> None:
    answer = extender.post(verb, body)
    assert (answer.status_code, answer.json()) == (400, {"error": f"no ExtenderArgs: {sentence}"})


def test_a_body_without_a_length_is_refused(extender: Running) -> None:
    answer = extender.http.post("/filter", content=iter([b"{}"]))
    assert (answer.status_code, answer.json()) == (411, {"error": "Content-Length is needed"})


def test_other_paths_are_refused_and_the_connection_stays_usable(extender: Running) -> None:
    assert extender.post("/bind", recorded("nodes")).status_code == 404
    assert extender.http.get("/filter").status_code == 404
    assert extender.scores(recorded("nodes")) == SCORES


def test_sigterm_ends_it_with_0(tmp_path: Path) -> None:
    with extending(tmp_path, f"http://127.0.0.1:{servers.free_port()}") as extender:
        extender.process.terminate()
        assert extender.process.wait(timeout=90) == 0
        assert "Traceback" not in extender.log.read_text()


def test_a_taken_port_is_one_sentence_and_exit_2(extender: Running, api: str) -> None:
    said = run(PROGRAM, "--api", api, "--port", str(extender.http.base_url.port))
    assert said.returncode == 2
    assert "Error: " in said.stderr
    assert "Address already in use" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_file_of_nodes_that_cannot_be_read_is_one_sentence_and_exit_2(tmp_path: Path) -> None:
    file = tmp_path / "nodes"
    file.write_text("gz-1=gz\ngz-2\n")
    said = run(PROGRAM, "--nodes", str(file))
    assert (said.returncode, said.stderr) == (2, f"Error: {file}: gz-2: must be NODE=SITE\n")
    said = run(PROGRAM, "--nodes", str(tmp_path / "none"))
    assert (said.returncode, said.stderr) == (2, f"Error: {tmp_path}/none: cannot be read: No such file or directory\n")
