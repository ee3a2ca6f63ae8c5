"""Processor time of the whole path a row, with the share of each stage: MQTT to the record, decisions and an archive.

    python -m tests.bench.whole_path [-n 20] [--interval 5] [--for 60] [--backlog 600] [--telegraf PATH]

Played sites report at a real mosquitto; a real collector commits, decides, acknowledges and exports to a real
VictoriaMetrics. First they report at their pace; then they come back from an outage of `--backlog` seconds, so that the
collector has as much to do as it can. With the path of a Telegraf it subscribes to the same reports and writes them to
the same server, and its processor time stands beside ours.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from tests import servers
from tests.bench.fleet_map import Fleet
from tests.bench.fleet_stack import LIMIT_S, Stack

# The fields of a row by the JSON that a report is, as the line protocol has them.
TELEGRAF = """
[agent]
  interval = "1s"
  flush_interval = "1s"
  metric_batch_size = 5000
  metric_buffer_limit = 1000000
  omit_hostname = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:{broker}"]
  topics = ["linkweather/v1/site/+/report/latency"]
  qos = 1
  max_undelivered_messages = 1000
  data_format = "json_v2"
  [[inputs.mqtt_consumer.json_v2]]
    measurement_name = "latency_telegraf"
    timestamp_path = "at"
    timestamp_format = "2006-01-02T15:04:05.999999999Z07:00"
    [[inputs.mqtt_consumer.json_v2.object]]
      path = "links"
      tags = ["src", "dst", "method"]
[[outputs.influxdb]]
  urls = ["http://127.0.0.1:{server}"]
  database = "telegraf"
  skip_database_creation = true
"""


class SampledStack(Stack):
    """A stack whose collector exports, and says where its processor time goes."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        super().__init__(fleet, folder)
        self.server = self._parts.enter_context(servers.victoria_metrics(folder))
        self._shares = folder / "shares.json"
        config = folder / "collector.toml"
        sink = f'[sinks.archive]\nkind = "influx"\nurl = "http://127.0.0.1:{self.server}"\nbucket = "linkweather"\n'
        config.write_text(config.read_text() + sink)

    def start_collector(self) -> float:
        """Start the collector; returns how long until it is ready, in seconds."""
        started = time.monotonic()
        command = (sys.executable, "-c", "from tests.bench.sampled_collector import main; main()")
        files = (str(self._folder / "collector.toml"), str(self._shares))
        log = self._folder / "collector.log"
        self.collector = self._parts.enter_context(servers.running(*command, *files, log=log))
        servers.wait_until(self._ready, "the collector is ready", LIMIT_S)
        return time.monotonic() - started

    def start_telegraf(self, program: Path) -> psutil.Process:
        """Start Telegraf on the same reports."""
        config = self._folder / "telegraf.conf"
        config.write_text(TELEGRAF.format(broker=self.port, server=self.server))
        command = (str(program), "--config", str(config))
        process: subprocess.Popen[bytes] = self._parts.enter_context(
            servers.running(*command, log=self._folder / "telegraf.log")
        )
        return psutil.Process(process.pid)

    def seconds(self) -> Counter[str]:
        """Processor seconds by stage since the start, at most a second old."""
        time.sleep(1.5)  # until the next is written
        return Counter(json.loads(self._shares.read_text()))

    def exported(self) -> int:
        """How many rows the archive has."""
        return int(json.loads(self.get("/api/v1/sinks"))[0]["exported_rows"])

    def lag(self) -> int:
        """How many rows the archive lacks."""
        return int(json.loads(self.get("/api/v1/sinks"))[0]["lag_rows"])


def cpu_s(process: psutil.Process | None) -> float:
    """The processor seconds that a process has had; 0 for none."""
    times = process.cpu_times() if process else None
    return float(times.user + times.system) if times else 0.0


def report(title: str, rows: int, span_s: float, seconds: Mapping[str, float], telegraf_s: float) -> None:
    """Print a phase."""
    rest = dict(seconds)
    own_s = rest.pop("all") - rest.pop("sampling", 0.0)
    rest["threads of libraries"] = max(0.0, own_s - sum(rest.values()))
    print(f"{title}: {rows:,} rows in {span_s:.1f} s, {own_s / span_s:.2f} of a core")
    print(f"  linkweather: {rows / own_s:,.0f} rows per processor-second, {1e6 * own_s / max(1, rows):.0f} µs a row")
    for stage, spent_s in sorted(rest.items(), key=lambda item: -item[1]):
        print(f"    {stage:22}{100 * spent_s / own_s:5.1f} %{1e6 * spent_s / max(1, rows):8.1f} µs a row")
    if telegraf_s:
        print(f"  telegraf:    {rows / telegraf_s:,.0f} rows per processor-second, without record or decisions")


def measured(stack: SampledStack, title: str, work: Callable[[], None], telegraf: psutil.Process | None) -> None:
    """Measure while `work` goes on, and until all of it is exported."""
    before, rows, telegraf_s, started = stack.seconds(), stack.exported(), cpu_s(telegraf), time.monotonic()
    work()
    span_s = time.monotonic() - started
    after = stack.seconds()
    after.subtract(before)
    report(title, stack.exported() - rows, span_s, after, cpu_s(telegraf) - telegraf_s)


def drain(stack: SampledStack, outage_s: float) -> None:
    """Come back from an outage, until the archive has all of it."""
    stack.ask_sites("backlog", outage_s)
    servers.wait_until(lambda: stack.played().waiting < 64, "the outboxes are empty", LIMIT_S)
    while stack.lag() >= 5000:  # what arrives meanwhile
        time.sleep(0.5)


def main() -> None:
    """Run it, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", "--sites", type=int, default=20)
    parser.add_argument("--interval", type=float, default=5.0)
    parser.add_argument("--for", dest="for_s", type=float, default=60.0)
    parser.add_argument("--backlog", type=float, default=600.0)
    parser.add_argument("--telegraf", type=Path)
    options = parser.parse_args()
    with contextlib.ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory()))
        stack = parts.enter_context(SampledStack(Fleet(options.sites, options.interval), folder))
        stack.start_collector()
        telegraf = stack.start_telegraf(options.telegraf) if options.telegraf else None
        stack.start_sites()
        time.sleep(2 * options.interval)
        measured(stack, "at their pace", lambda: time.sleep(options.for_s), telegraf)
        measured(stack, f"an outage of {options.backlog:g} s", lambda: drain(stack, options.backlog), telegraf)


if __name__ == "__main__":
    main()
