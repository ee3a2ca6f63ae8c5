#!/usr/bin/env bash
# Makes dist/linkweather_VERSION-1~debN_ARCH.deb for the Debian release that this runs on, with Debian's Python.
#
# The virtual environment is in the package, with all that it needs, and so belongs to one minor version of Python: one
# package a release. The other way, wheels that the target makes an environment of, would need pip there and files for
# every Python, run code while it installs, and leave files that dpkg knows nothing of. So installing takes no network,
# `dpkg --verify` checks every file, and what is removed is gone.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/packaging/deb
python=${PYTHON:-/usr/bin/python3}
fail() { echo "make deb: $*" >&2; exit 2; }
command -v dpkg-deb >/dev/null || fail "this makes a package for the Debian that it runs on, and there is no dpkg-deb"
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail "apt install python3-venv"
minor=$("$python" -c 'import sys; print(sys.version_info[1])')
[ "$minor" -ge 11 ] || fail "Python 3.11 or newer is needed, and $python is 3.$minor"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root venv=$work/root/opt/linkweather
say() { echo "make deb: $*"; }

say "the wheel, and its environment for Python 3.$minor"
"$python" -m venv "$work/builder"
pip=("$work/builder/bin/python" -m pip --disable-pip-version-check)
"${pip[@]}" wheel --quiet --no-deps --wheel-dir "$work/wheel" .
wheel=$(echo "$work"/wheel/*.whl)
upstream=$(basename "$wheel" | cut -d- -f2)
"$python" -m venv --without-pip "$venv"
"${pip[@]}" --python "$venv/bin/python" install --quiet --no-compile --no-warn-script-location \
    --report "$work/report.json" -c constraints.txt "linkweather[collector,page,notify,kafka] @ file://$wheel"
# It was made elsewhere than it will be: its one script, its settings and where the wheel was say so.
find "$venv/bin" -mindepth 1 ! -name 'python*' ! -name linkweather -delete
sed -i '1s|.*|#!/opt/linkweather/bin/python|' "$venv/bin/linkweather"
sed -i '/^command = /d' "$venv/pyvenv.cfg"
rm "$venv"/lib/python*/site-packages/linkweather-*.dist-info/direct_url.json
if grep -rIlF "$work" "$venv" --include='*.py' --include='*.cfg' --include=linkweather; then fail "these files name $work"; fi
# By their sources' hash, as dpkg may set times; never checked, as dpkg does.
"$venv/bin/python" -m compileall -q --invalidation-mode unchecked-hash -s "$root" -p / "$venv/lib" >"$work/compiled" ||
    say "not compiled: $(head -1 "$work/compiled")"

say "the package"
install -d "$root/usr/bin" "$root/usr/lib/systemd/system" "$root/etc/linkweather" "$root/usr/share/doc/linkweather" \
    "$root/DEBIAN"
ln -s /opt/linkweather/bin/linkweather "$root/usr/bin/linkweather"
install -m 644 config/systemd/*.service "$root/usr/lib/systemd/system/"
install -m 640 "$here/probe.toml" "$here/collector.toml" "$root/etc/linkweather/"
ln -s "/opt/linkweather/lib/python3.$minor/site-packages/linkweather/config" "$root/usr/share/doc/linkweather/examples"
install -m 644 LICENSE "$root/usr/share/doc/linkweather/copyright"
gzip -9n <CHANGELOG.md >"$root/usr/share/doc/linkweather/changelog.gz"
(cd "$root" && find etc -type f -printf '/%p\n') >"$root/DEBIAN/conffiles"
install -m 755 "$here/postinst" "$here/prerm" "$here/postrm" "$root/DEBIAN/"
. /etc/os-release
version=$upstream-1~deb${VERSION_ID:?Debian testing has no number: set VERSION_ID}
cat >"$root/DEBIAN/control" <<CONTROL
Package: linkweather
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: linkweather <linkweather@users.noreply.github.com>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: python3 (>= 3.$minor~), python3 (<< 3.$((minor + 1))~), libc6 (>= 2.36), libstdc++6, passwd, procps, iperf3 (>= 3.1.5)
Recommends: mosquitto
Suggests: iproute2, influxdb
Section: net
Priority: optional
Homepage: https://github.com/linkweather/linkweather
Description: measures the links between compute sites
 A probe at every site measures latency, loss and throughput to its peers; a
 collector keeps the record and answers which path data should take and which
 site should run a job. This package has both, as two units that are started
 once their settings in /etc/linkweather are filled in.
CONTROL
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
chmod -R u=rwX,go=rX "$root/opt" "$root/usr" "$root/DEBIAN"
install -d dist
deb=dist/linkweather_${version}_$(dpkg --print-architecture).deb
"$python" packaging/pinned.py "$work/report.json" >"dist/requirements-python3.$minor-linux-$(uname -m).txt"
dpkg-deb -Zzstd --root-owner-group --build "$root" "$deb" >/dev/null
say "$deb, $(($(stat -c %s "$deb") >> 20)) MiB"
