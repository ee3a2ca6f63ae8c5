#!/usr/bin/env bash
# Run by deb_test.sh in a Debian without a network, where /tmp/old.deb was just installed: everything up to the purge.
set -euo pipefail
step() { printf -- '-- %s\n' "$*"; }
fail() { printf 'deb_trial.sh: %s\n' "$*" >&2; exit 1; }
is() { [ "$2" = "$3" ] || fail "$1: '$2' instead of '$3'"; }

step "the command, the user, the settings"
is version "$(linkweather --version)" "linkweather, version 7.1.0"
is "verify after the install" "$(dpkg --verify linkweather)" ""
is settings "$(stat -c '%a %U %G' /etc/linkweather/probe.toml)" "640 root linkweather"
is data "$(stat -c '%a %U %G' /var/lib/linkweather/probe)" "700 linkweather linkweather"
systemd-analyze verify /usr/lib/systemd/system/linkweather-*.service
runuser -u linkweather -- /opt/linkweather/bin/python -c '
import sys
from pathlib import Path
from collector.settings import CollectorSettings
from linkweather import settings
from probes.settings import ProbeSettings
for kind in (ProbeSettings, CollectorSettings):
    path = Path("/etc/linkweather", "probe.toml" if kind is ProbeSettings else "collector.toml")
    settings.parse(path.read_text(), kind, str(path))
    example = Path("/usr/share/doc/linkweather/examples", path.name)
    settings.parse(example.read_text(), kind, str(example))
'

step "the demo, as a user of the system, for 20 s"
install -d -o linkweather /tmp/demo
cd /tmp/demo
runuser -u linkweather -- linkweather demo --for 20s --sites 3 --engine loopback --json >/tmp/demo.json
states=$(/opt/linkweather/bin/python -c '
import json
print(*sorted({link["state"] for link in json.load(open("/tmp/demo.json"))["mesh"]}))')
is "states of the links" "$states" fresh
rm -r /tmp/demo /tmp/demo.json
is "verify after the demo" "$(dpkg --verify linkweather)" ""

step "an upgrade beside changed settings"
sed -i 's/^site = "north"/site = "east"/' /etc/linkweather/probe.toml
touch /var/lib/linkweather/collector/journal.duckdb
systemctl enable --quiet linkweather-probe.service
dpkg --force-confdef --force-confold -i /tmp/new.deb >/tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; exit 1; }
is "version after the upgrade" "$(dpkg-query -W -f '${Version}' linkweather | cut -d- -f1)" 7.2.0
grep -q '^site = "east"' /etc/linkweather/probe.toml || fail "the upgrade took a changed setting"
is "settings after the upgrade" "$(stat -c '%a %U %G' /etc/linkweather/probe.toml)" "640 root linkweather"
grep -q "of the next release" /etc/linkweather/collector.toml || fail "settings that were not changed are the old ones"
is "unit after the upgrade" "$(systemctl is-enabled linkweather-probe.service)" enabled

step "removed: settings and data stay"
dpkg -r linkweather >/tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; exit 1; }
[ ! -e /usr/bin/linkweather ] && [ ! -e /opt/linkweather ] || fail "the program is still there"
grep -q '^site = "east"' /etc/linkweather/probe.toml || fail "the removal took the settings"
[ -e /var/lib/linkweather/collector/journal.duckdb ] || fail "the removal took the data"
[ ! -e /etc/systemd/system/multi-user.target.wants/linkweather-probe.service ] || fail "the unit is still enabled"

step "purged"
dpkg -P linkweather >/tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; exit 1; }
! getent passwd linkweather >/dev/null || fail "the user is still there"
