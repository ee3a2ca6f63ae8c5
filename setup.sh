#!/usr/bin/env bash
# Prepares this checkout: `setup.sh run` for the demo, `setup.sh test` for the tests as well.
# Leaves the command at .venv/bin/linkweather. Done once, again when pyproject.toml or the pins change.
set -euo pipefail
cd "$(dirname "$0")"
wanted=${1:-run}
export PATH="$PATH:/usr/sbin:/sbin"

# program → Debian package that has it
run_programs=(iperf3:iperf3 mosquitto:mosquitto ip:iproute2)
test_programs=(influxd:influxdb victoria-metrics:victoria-metrics ping:iputils-ping)

programs=("${run_programs[@]}")
extras=collector
if [ "$wanted" = test ]; then
    programs+=("${test_programs[@]}")
    extras=collector,dev
fi

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 2; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null || continue
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        echo "$candidate"
        return
    done
    return 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif sudo -n true 2>/dev/null; then sudo -n "$@"
    else return 1; fi
}

apt_install() {
    command -v apt-get >/dev/null || return 1
    as_root true || return 1
    say "installing $* with apt"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

packages=()
for entry in "${programs[@]}"; do
    command -v "${entry%%:*}" >/dev/null || packages+=("${entry##*:}")
done
if [ ${#packages[@]} -gt 0 ]; then
    apt_install "${packages[@]}" ||
        fail "missing programs; install these packages (Debian names) and run this again: ${packages[*]}"
fi

python=$(find_python) || { apt_install python3 python3-venv && python=$(find_python); } ||
    fail "Python 3.11 or newer is needed; install it (Debian: python3 python3-venv) and run this again"

stamp=.venv/.ready-$wanted
state=$(cat pyproject.toml constraints.txt setup.sh | cksum)
if [ -x .venv/bin/linkweather ] && [ "$(cat "$stamp" 2>/dev/null)" = "$state" ]; then
    exit 0
fi

if [ ! -x .venv/bin/pip ]; then
    say "making .venv with $("$python" --version)"
    "$python" -m venv .venv 2>/dev/null || {
        rm -rf .venv
        apt_install python3-venv || fail "Python's venv module is missing; install it (Debian: python3-venv) and run this again"
        "$python" -m venv .venv
    }
fi
say "installing linkweather[$extras] with the pinned packages"
.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$extras]"
echo "$state" > "$stamp"
say "ready: .venv/bin/linkweather"
