from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from collector.settings import CollectorSettings
from collector.sinks.builtin import ParquetSettings

ENGINES = ("aiomqtt", "duckdb", "fastapi", "influxdb_client", "numpy", "scipy", "uvicorn")


def test_reading_the_settings_loads_no_engine() -> None:
    program = f"import sys, collector.settings; print([name for name in {ENGINES} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_paths_of_sinks_too_are_relative_to_the_settings_file() -> None:
    influx = {"url": "http://127.0.0.1:8086", "bucket": "b", "token_file": "/run/token"}
    settings = CollectorSettings.model_validate({"sinks": {"parquet": {"folder": "rows"}, "influx": influx}})
    sinks = settings.below(Path("/etc/linkweather")).sinks
    assert sinks["parquet"] == ParquetSettings(folder=Path("/etc/linkweather/rows"))
    assert sinks["influx"].model_dump()["token_file"] == Path("/run/token")
