"""A job: what a file or a request may say, and the sentence for what it may not."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from linkweather import settings
from linkweather.errors import BadValueError
from linkweather.mesh import Mesh
from linkweather.models.placements import Job, Jobs

MESH = Mesh.model_validate(
    {"sites": {"a": {"address": "192.0.2.1", "compute_id": "CN-1"}, "b": {"address": "192.0.2.2"}}}
)
GOOD: dict[str, Any] = {
    "data": [{"site": "CN-1", "bytes": "2TB"}],
    "result": {"site": "b", "bytes": 5},
    "devices": [{"type": "a100", "count": 8, "work_device_hours": 32}],
    "deadline_s": "6h",
    "max_price_usd": "500USD",
}


def read(**changes: Any) -> Job:
    return settings.validate({**GOOD, **changes}, Job, "job.toml")


def test_sizes_times_and_prices_may_be_texts() -> None:
    job = read()
    assert (job.data[0].bytes, job.deadline_s, job.max_price_usd) == (2 * 10**12, 21600.0, 500.0)
    assert job.run_s == 4 * 3600


def test_a_job_file_is_read_as_a_request_is() -> None:
    text = (
        'deadline_s = "6h"\nmax_price_usd = 500.0\ndata = [{site = "CN-1", bytes = "2TB"}]\n[result]\nsite = "b"\n'
        'bytes = 5\n[[devices]]\ntype = "a100"\ncount = 8\nwork_device_hours = 32.0\n'
    )
    assert settings.validate(tomllib.loads(text), Job, "job.toml") == read()


def test_sites_named_by_compute_id_become_ids() -> None:
    job = read().at_ids(MESH)
    assert job.result is not None
    assert (job.data[0].site, job.result.site) == ("a", "b")
    assert read(result=None).at_ids(MESH).result is None


@pytest.mark.parametrize(
    ("changes", "key", "sentence"),
    [
        ({"data": []}, "data", "data = []: must have at least 1 entry"),
        (
            {"data": [{"site": "a", "bytes": "-1TB"}]},
            "data[0].bytes",
            "data[0].bytes = '-1TB': must be a size in bytes such as 2TB, 500GB or 10MiB",
        ),
        ({"data": [{"site": "a", "bytes": -1}]}, "data[0].bytes", "data[0].bytes = -1: must be at least 1"),
        ({"data": [{"site": "a", "bytes": 0}]}, "data[0].bytes", "data[0].bytes = 0: must be at least 1"),
        (
            {"data": [{"site": "a", "bytes": "2EB"}]},
            "data[0].bytes",
            "data[0].bytes = 2000000000000000000: must be at most 1000000000000000000",
        ),
        ({"name": ""}, "name", "name = '': must have at least 1 character"),
        ({"devices": []}, "devices", "devices = []: must have at least 1 entry"),
        (
            {"devices": [{"type": "a100", "count": 0, "work_device_hours": 1}]},
            "devices[0].count",
            "devices[0].count = 0: must be at least 1",
        ),
        (
            {"devices": [{"type": "a100", "count": 1.5, "work_device_hours": 1}]},
            "devices[0].count",
            "devices[0].count = 1.5: must be a whole number",
        ),
        (
            {"devices": [{"type": "a100", "count": 1, "work_device_hours": float("nan")}]},
            "devices[0].work_device_hours",
            "devices[0].work_device_hours = nan: must be a finite number",
        ),
        (
            {"devices": [{"type": "a100", "count": 1}]},
            "devices[0].work_device_hours",
            "devices[0].work_device_hours: required, but missing",
        ),
        ({"devices": [*GOOD["devices"], *GOOD["devices"]]}, "", "devices[1].type = 'a100': given twice"),
        ({"deadline_s": 0}, "deadline_s", "deadline_s = 0: must be greater than 0"),
        ({"deadline_s": "soon"}, "deadline_s", "deadline_s = 'soon': must be a duration such as 50ms, 60s or 5min"),
        ({"max_price_usd": -1}, "max_price_usd", "max_price_usd = -1: must be at least 0"),
        ({"max_price_usd": "5EUR"}, "max_price_usd", "max_price_usd = '5EUR': must be a price such as 500 or 500USD"),
        ({"max_price": 5}, "max_price", "max_price = 5: no such key"),
    ],
)
def test_what_a_job_cannot_be_is_one_sentence_with_its_key(changes: dict[str, Any], key: str, sentence: str) -> None:
    with pytest.raises(BadValueError) as refused:
        read(**changes)
    assert (refused.value.key, refused.value.sentence) == (key, sentence)
    assert str(refused.value) == f"job.toml: {sentence}"


def test_an_unknown_site_is_named_with_its_place() -> None:
    with pytest.raises(BadValueError) as refused:
        read(result={"site": "x", "bytes": 1}).at_ids(MESH)
    assert (refused.value.key, str(refused.value)) == (
        "result.site",
        "result.site = 'x': no such site; the mesh has a, b",
    )


def test_an_unknown_site_of_one_of_several_jobs_is_named_with_its_place() -> None:
    jobs = Jobs(jobs=(read(), read(data=[{"site": "a", "bytes": 1}, {"site": "x", "bytes": 1}])))
    with pytest.raises(BadValueError) as refused:
        jobs.at_ids(MESH)
    assert (refused.value.key, str(refused.value)) == (
        "jobs[1].data[1].site",
        "jobs[1].data[1].site = 'x': no such site; the mesh has a, b",
    )
    assert [job.data[0].site for job in Jobs(jobs=(read(),)).at_ids(MESH)] == ["a"]
