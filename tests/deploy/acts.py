"""What happens to a mesh in its life, as docs/deploying.md and docs/upgrading.md have it: each an act of the trial."""

from __future__ import annotations

import itertools
import re
import time
from datetime import UTC, datetime, timedelta

from tests.deploy.machines import NETWORK
from tests.deploy.trial import Row, Trial

SITES = ("north", "south", "east")
# What a mesh has that does not say otherwise.
PROBES_PER_S, REPORT_S = 10, 5
BACK = "apt-get install -y -qq -o Dpkg::Options::=--force-confold ./linkweather.deb"
UPGRADE = "apt-get install -y -qq -o Dpkg::Options::=--force-confold ./linkweather-next.deb"


def set_up(trial: Trial) -> None:
    """From installed to three sites: what is typed until their links are fresh is counted."""
    trial.type("hub", f"linkweather init collector --address {NETWORK}.10")
    said = trial.type("hub", "linkweather enrol add " + " ".join(f"{x}={trial.machines[x].address}" for x in SITES))
    for site, line in _lines(said).items():
        trial.type(site, line)
    trial.sites = SITES
    trial.wait_fresh("three sites")
    print(f"== three sites in {time.monotonic() - trial.began:.0f} s; typed: {trial.typed}", flush=True)
    for name in ("hub", *SITES):
        _steady(trial, name)
    trial.type("hub", "linkweather links")
    trial.type("hub", "linkweather doctor")


def change_sites(trial: Trial) -> None:
    """A fourth site comes, and one of the three goes."""
    line = trial.token(f"linkweather enrol add west --address {trial.machines['west'].address}")
    trial.type("west", line)
    trial.sites = (*SITES, "west")
    trial.wait_fresh("a fourth site has joined")
    trial.type("hub", "linkweather enrol remove east")
    trial.type("east", "linkweather uninstall --data")
    trial.sites = ("north", "south", "west")
    trial.wait_fresh("one has left")


def change_keys(trial: Trial) -> None:
    """Every certificate, the mesh's key and the API's token are changed; meanwhile no link is down, no probe lost."""
    _reported(trial)
    trial.wait_fresh("who began first has forgotten what it lost until the others began")
    for name in ("first", "second"):
        trial.type("hub", f"linkweather token add {name} --config /etc/linkweather/collector.toml >{name}.token")
    since = _reported(trial)
    for _ in range(3):  # the next key is accepted; it signs; the one before is gone
        trial.type("hub", "linkweather keys rotate --mesh-key --folder /etc/linkweather/authority")
        said = trial.type("hub", "linkweather enrol renew --all")
        for site, line in _lines(said).items():
            trial.type(site, line)
    trial.type("hub", "linkweather enrol renew broker collector")
    trial.type("hub", "linkweather token revoke first --config /etc/linkweather/collector.toml")
    trial.wait_fresh("all keys and certificates are others")
    ask = "linkweather links --api http://127.0.0.1:8484 --token-file"
    trial.type("hub", f"{ask} second.token")
    trial.refused("hub", f"{ask} first.token", "token")
    _reported(trial)
    _without_outage(trial, since)


def cut_power(trial: Trial) -> None:
    """All machines lose their power at once: their processes are killed, but what they wrote is not lost unsynced."""
    for machine in trial.machines.values():
        machine.power_off(hard=True)
    print(f"{time.monotonic() - trial.began:6.1f} s  the power of all machines is cut, and comes back", flush=True)
    for machine in trial.machines.values():
        machine.power_on()
    _reported(trial)  # for some seconds links are fresh by what was reported before
    trial.wait_fresh("the power is back")
    trial.type("hub", "linkweather ledger")


def upgrade(trial: Trial) -> None:
    """The collector first, then site by site; what was changed by hand stays, and no report is lost."""
    changed = {"hub": "/etc/linkweather/collector.toml", **dict.fromkeys(trial.sites, "/etc/linkweather/probe.toml")}
    for name, file in changed.items():
        trial.type(name, f"echo '# changed by hand' >>{file}")
    trial.type(
        "hub", "linkweather journal backup --data-dir /var/lib/linkweather/collector /var/backups/journal.duckdb"
    )
    trial.type("hub", "linkweather mesh check /var/lib/linkweather/collector/mesh.toml")
    before = _versions(trial)
    for name, file in changed.items():
        trial.type(name, UPGRADE)
        trial.wait_fresh(f"{name} is upgraded")
        _steady(trial, name)
        trial.type(name, f"tail -n 1 {file} | grep -Fx '# changed by hand'")
    _reported(trial)
    trial.wait("every site has another version", lambda: not set(_versions(trial)) & set(before))
    print(f"          {before} -> {_versions(trial)}")
    _balanced(trial)


def go_back(trial: Trial) -> None:
    """An older version comes only when it is asked for by name."""
    trial.type("north", BACK, status=100)
    trial.type("north", f"{BACK} --allow-downgrades")
    trial.wait("a site is of the older version", lambda: len(set(_versions(trial))) == 2)
    trial.wait_fresh("one site is back")
    _balanced(trial)


def refused(trial: Trial) -> None:
    """What cannot be done is said in a sentence, with status 2, and changes nothing. (Of the new release.)"""
    east, hub = trial.machines["east"], trial.machines["hub"]
    as_nobody = "runuser -u nobody -- "
    trial.type("east", UPGRADE)
    trial.refused("east", "linkweather init site lw1-AAAA", "not whole")
    trial.refused("east", "linkweather uninstall", "has made nothing on this machine")
    line = trial.token(f"linkweather enrol add east --address {east.address} --lasts 1s")
    trial.refused("hub", f"linkweather enrol add east --address {east.address}", "already: `linkweather enrol renew")
    trial.refused("hub", f"{as_nobody}linkweather enrol renew east", "run it as root")
    trial.refused("east", f"{as_nobody}{line}", "run it as root")
    trial.wait("the token has ended", lambda: not hub.run("linkweather", "enrol", "list"))
    trial.refused("east", line, "used or has ended: `linkweather enrol renew")
    other = trial.token("linkweather enrol renew east")
    trial.refused("west", other, "is the site west already.*the token is used.*enrol renew east")
    trial.refused("west", other, "used or has ended")
    init = f"linkweather init collector --address {east.address}"
    east.run("systemd-run", "-q", "--unit=other", "python3", "-m", "http.server", "8883")
    trial.wait("another program has a port", lambda: bool(east.run("ss", "-Hltn", "sport = :8883")))
    trial.refused("east", init, r"TCP port .*:8883 is taken by `.*http.server 8883`")
    east.run("systemctl", "stop", "other")
    _with_full_disk(trial)
    trial.type("hub", "linkweather enrol remove east")
    trial.wait_fresh("the mesh is as before")


def _with_full_disk(trial: Trial) -> None:
    """Neither the collector's disk nor the site's takes a file more; afterwards the next try does all."""
    full = "mkdir -p {0} && mount -t tmpfs -o nr_inodes=1 full {0}"
    trial.type("hub", full.format("/var/lib/linkweather/enrolments"))
    trial.refused("hub", "linkweather enrol renew east", "/enrolments: cannot be written: No space left on device")
    trial.type("hub", "umount /var/lib/linkweather/enrolments")
    line = trial.token("linkweather enrol renew east")
    trial.type("east", full.format("/etc/linkweather/keys"))
    trial.refused("east", f"{line} >/dev/null", "No space left on device; the token is used")
    trial.type("east", "umount /etc/linkweather/keys")
    trial.type("east", trial.token("linkweather enrol renew east"))
    trial.type("east", "linkweather uninstall --data")


def uninstall(trial: Trial) -> None:
    """Nothing of it stays."""
    for name in (*trial.sites, "hub"):
        trial.type(name, "linkweather uninstall --data")
        trial.type(name, "apt-get purge -y -qq linkweather")
        left = trial.machines[name].run(
            "sh",
            "-c",
            "ls -d /etc/linkweather /var/lib/linkweather /opt/linkweather 2>/dev/null; "
            "getent passwd linkweather; systemctl list-unit-files 'linkweather*' --no-legend; true",
        )
        assert not left.strip(), f"{name}: still has {left}"


def _lines(said: str) -> dict[str, str]:
    """The line for each site, of what an `enrol` command printed."""
    return dict(re.findall(r"on the machine of (\S+), .*?(linkweather init site \S+)", said, re.DOTALL))


def _versions(trial: Trial) -> list[str]:
    return [str(row["version"]) for row in trial.rows("sites")]


def _steady(trial: Trial, name: str) -> None:
    """Each unit that is enabled runs, and has not ended since it was started."""
    machine = trial.machines[name]
    enabled = machine.run("sh", "-c", "systemctl list-unit-files --state=enabled --no-legend 'linkweather-*'")
    for unit in (line.split()[0] for line in enabled.splitlines()):
        shown = set(machine.run("systemctl", "show", "--property=ActiveState,NRestarts", unit).split())
        assert shown == {"ActiveState=active", "NRestarts=0"}, f"{name}: {unit}: {shown}\n{trial.logs()}"


def _steps(trial: Trial, since: datetime) -> dict[tuple[str, str], list[Row]]:
    """Each link's history by reports, of those that began after a moment."""
    begin = since + timedelta(seconds=REPORT_S)  # a step has what a report says of the seconds before, too
    asked = f"history {{}} {{}} --since {since.isoformat()} --step {REPORT_S}s"
    links = {link: trial.asked(asked.format(*link)) or {"steps": []} for link in itertools.permutations(trial.sites, 2)}
    return {
        link: [step for step in answer["steps"] if step["reports"] and datetime.fromisoformat(step["at"]) >= begin]
        for link, answer in links.items()
    }


def _reported(trial: Trial) -> datetime:
    """This moment, once every link has a report that began after it."""
    now = datetime.now(UTC)
    trial.wait("each link has another report", lambda: all(_steps(trial, now).values()))
    return now


def _without_outage(trial: Trial, since: datetime) -> None:
    """Since then each link was measured all the time, and each of its probes came back."""
    for (src, dst), steps in _steps(trial, since).items():
        sent, received = (sum(step[name] for step in steps) for name in ("sent", "received"))
        first, last = (datetime.fromisoformat(steps[end]["at"]) for end in (0, -1))
        span_s = (last - first).total_seconds() + REPORT_S
        print(f"          {src} -> {dst}: {sent} probes in {span_s:.0f} s, {received} came back", flush=True)
        assert sent == received, f"{src} -> {dst}: probes are lost: {steps}"
        assert sent >= PROBES_PER_S * (span_s - 2 * REPORT_S), f"{src} -> {dst}: was not measured: {steps}"


def _balanced(trial: Trial) -> None:
    """Every report that a site numbered is in the journal, or waits."""
    trial.type("hub", "linkweather ledger")  # status 1 where one is missing
    total = trial.asked("ledger")["total"]
    lost = {name: number for name, number in total.items() if number and name in {"dropped", "damaged", "gaps"}}
    assert not lost, f"reports are lost: {lost}"
