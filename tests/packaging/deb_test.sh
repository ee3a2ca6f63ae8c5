#!/usr/bin/env bash
# The Debian package in fresh Debians: `make deb-test` or, with roots that are there, ROOTS="/a/bookworm /a/trixie".
# For each release: built in one copy of the root; in another one installed without a network, run, upgraded beside
# changed settings, removed and purged, with nothing left. A root is what `debootstrap --variant=minbase` leaves, and
# stays so: all is done in overlays. Needs root, debootstrap where no roots are named, and apt's and pip's network.
set -euo pipefail
cd "$(dirname "$0")/../.."
say() { printf '\n== %s\n' "$*"; }

if [ "${1:-}" != --inside ]; then
    [ "$(id -u)" = 0 ] || { echo "deb_test.sh: mounting takes root" >&2; exit 2; }
    work=$(mktemp -d "${TMPDIR:-/var/tmp}/linkweather-deb.XXXXXX")
    # Mounts and processes end with the namespaces, so this removes files of ours and no others.
    trap 'rm -rf --one-file-system "$work"' EXIT
    for release in ${ROOTS:-bookworm trixie}; do
        root=$release
        [ -d "$root" ] || { root=$work/$release; debootstrap --variant=minbase "$release" "$root" >"$work/log"; }
        unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
            bash "$0" --inside "$work" "$root"
    done
    exit
fi

work=$2 root=$3 name=$(basename "$3")

# overlay NAME: a copy of the root at $work/NAME/m
overlay() {
    local place=$work/$1 m=$work/$1/m
    mkdir -p "$place/upper" "$place/work" "$m"
    mount -t overlay overlay -o "lowerdir=$root,upperdir=$place/upper,workdir=$place/work" "$m"
    mount -t proc proc "$m/proc"
    mount --rbind /dev "$m/dev"
    mount -t tmpfs tmpfs "$m/run"
    cp /etc/resolv.conf /etc/hosts "$m/etc/"
    # The authorities of this machine, where a mirror has a certificate of its own.
    install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$m/etc/ssl/certs/of-the-host.crt"
    printf '#!/bin/sh\nexit 101\n' >"$m/usr/sbin/policy-rc.d"  # packages start no daemons here
    chmod 755 "$m/usr/sbin/policy-rc.d"
}

# within NAME COMMAND…: in that copy
within() {
    local m=$work/$1/m
    shift
    chroot "$m" /usr/bin/env -i HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        PIP_CERT=/etc/ssl/certs/of-the-host.crt PIP_INDEX_URL="${PIP_INDEX_URL:-https://pypi.org/simple}" \
        PIP_DEFAULT_TIMEOUT=180 SETUPTOOLS_SCM_PRETEND_VERSION=7.1.0 "$@"
}

# offline NAME COMMAND…: likewise, with loopback alone
offline() { unshare --net bash -c 'ip link set lo up; "$@"' - chroot_offline "$@"; }
chroot_offline() { within "$@"; }
export -f within chroot_offline
export work

install_with_apt() {
    within "$1" apt-get update -qq
    within "$1" apt-get install -y -qq --no-install-recommends "${@:2}" >"$work/apt.log" 2>&1 || {
        tail "$work/apt.log"
        exit 1
    }
}

say "$name: build"
overlay "$name-build"
install_with_apt "$name-build" python3-venv make
mkdir "$work/$name-build/m/src"
git ls-files -z | tar --null --create --files-from=- | tar --extract --directory "$work/$name-build/m/src"
within "$name-build" make --no-print-directory -C /src deb

overlay "$name"
m=$work/$name/m
cp "$work/$name-build"/m/src/dist/*.deb "$m/tmp/old.deb"
# The next release: another version, and both settings files have changed in it.
next=$work/$name-next
dpkg-deb -R "$m/tmp/old.deb" "$next"
sed -i 's/^Version: 7.1.0/Version: 7.2.0/' "$next/DEBIAN/control"
sed -i '1i # of the next release' "$next"/etc/linkweather/*.toml
(cd "$next" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | xargs -0 md5sum >DEBIAN/md5sums)
dpkg-deb -Zzstd -z1 --root-owner-group --build "$next" "$m/tmp/new.deb" >/dev/null
umount -R "$work/$name-build/m"
rm -rf --one-file-system "$next" "$work/$name-build"

say "$name: install, without a network"
# What it depends on, beside what checks it.
install_with_apt "$name" python3 iperf3 mosquitto procps systemd
find "$m" -xdev \( -path "$m/proc" -o -path "$m/dev" -o -path "$m/run" -o -path "$m/tmp" \) -prune -o -printf '%P\n' |
    LC_ALL=C sort >"$work/before"
offline "$name" dpkg -i /tmp/old.deb >"$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log"; exit 1; }
cp tests/packaging/deb_trial.sh "$m/tmp/trial.sh"
offline "$name" bash /tmp/trial.sh

say "$name: what is left"
find "$m" -xdev \( -path "$m/proc" -o -path "$m/dev" -o -path "$m/run" -o -path "$m/tmp" \) -prune -o -printf '%P\n' |
    LC_ALL=C sort >"$work/after"
# dpkg's own notes, and the files that useradd keeps of the time before.
left=$(LC_ALL=C comm -13 "$work/before" "$work/after" |
    grep -vE '^(var/log/|var/lib/dpkg/|etc/(passwd|group|shadow|gshadow|subuid|subgid)-$)' || true)
[ -z "$left" ] || { printf 'deb_test.sh: the purge left\n%s\n' "$left" >&2; exit 1; }
umount -R "$m"
rm -rf --one-file-system "${work:?}/$name"
say "$name: passed"
