from __future__ import annotations

import subprocess
import sys

ENGINES = ("aiomqtt", "duckdb", "fastapi", "influxdb_client", "numpy", "scipy", "uvicorn")


def test_reading_the_settings_loads_no_engine() -> None:
    program = f"import sys, collector.settings; print([name for name in {ENGINES} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
