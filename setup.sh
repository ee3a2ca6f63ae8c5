#!/usr/bin/env bash
# Prepares this checkout: `setup.sh run` for the demo, `check` for the checkers as well, `test` for all tests.
# Leaves the command at .venv/bin/linkweather. Done once; again when pyproject.toml or the pins change.
set -euo pipefail
cd "$(dirname "$0")"
wanted=${1:-run}
# Debian keeps daemons where an ordinary PATH does not look.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# program:Debian package that has it
programs=(iperf3:iperf3 mosquitto:mosquitto ip:iproute2)
case $wanted in
    run) extras=collector,page ready=(run) ;;
    check) extras=collector,page,notify,dev ready=(run check) programs=() ;;
    test)
        extras=collector,page,notify,dev ready=(run check test)
        programs+=(git:git influxd:influxdb victoria-metrics:victoria-metrics ping:iputils-ping prometheus:prometheus sysctl:procps)
        programs+=(chromium:chromium)
        ;;
    *) echo "usage: setup.sh run|check|test" >&2; exit 2 ;;
esac

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
    command -v apt-get >/dev/null && as_root true || return 1
    say "installing $* with apt"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# Packages of daemons start them as services; we start our own, on ports of our own.
stop_services() {
    [ -d /run/systemd/system ] || return 0
    local service
    for service in "$@"; do
        as_root systemctl disable --now --quiet "$service" 2>/dev/null || true
    done
}

how_to_install() {
    if command -v apt-get >/dev/null; then echo "sudo apt-get install $*"
    elif command -v dnf >/dev/null; then echo "sudo dnf install $* (these are Debian's names)"
    else echo "$* (these are Debian's names for them)"; fi
}

# A venv does not move: its scripts name their folder.
venv_works() { grep -qsF "$PWD/.venv/bin/python" .venv/bin/pip && .venv/bin/python -c '' 2>/dev/null; }

# Whatever is missing is found and named at once: a user without apt's rights installs it by one command.
packages=()
missing=()
lacks() { missing+=("$1") packages+=("$2"); }
for entry in "${programs[@]}"; do
    command -v "${entry%%:*}" >/dev/null || lacks "${entry%%:*}" "${entry##*:}"
done
# What drives the tests' browser needs this library, and does not bring it.
[ "$wanted" != test ] || ldconfig -p 2>/dev/null | grep -q libatomic.so.1 || lacks libatomic.so.1 libatomic1
if ! venv_works; then
    if ! python=$(find_python); then
        lacks "Python 3.11 or newer (or name it: PYTHON=/path/to/python3)" python3
        lacks "its venv module" python3-venv
    elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        lacks "the venv module of $python" "$("$python" -c 'import sys; print(f"python3.{sys.version_info[1]}-venv")')"
    fi
fi
if [ ${#packages[@]} -gt 0 ]; then
    list=$(printf ', %s' "${missing[@]}")
    apt_install "${packages[@]}" ||
        fail "missing: ${list:2}. Install them, then run this again: $(how_to_install "${packages[@]}")"
    stop_services "${packages[@]}"
fi

state=$(cat pyproject.toml constraints.txt setup.sh | cksum)
if venv_works && [ -x .venv/bin/linkweather ] && [ "$(cat ".venv/.ready-$wanted" 2>/dev/null)" = "$state" ]; then
    exit 0
fi
[ ! -e .venv ] || [ -w .venv ] ||
    fail ".venv belongs to $(stat -c %U .venv): run this as that user, or remove .venv and run it again"
venv_works || rm -rf .venv

if [ ! -d .venv ]; then
    python=$(find_python) || fail "Python 3.11 or newer is needed and was not found"
    say "making .venv with $("$python" --version)"
    "$python" -m venv .venv || { rm -rf .venv; fail "$python cannot make a virtual environment"; }
fi
say "installing linkweather[$extras] with the pinned packages"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$extras]" ||
    fail "pip cannot install the packages; is the package index reachable? Behind a proxy set https_proxy, for a mirror PIP_INDEX_URL, then run this again"
for name in "${ready[@]}"; do
    echo "$state" > ".venv/.ready-$name"
done
say "ready: .venv/bin/linkweather"
