#!/usr/bin/env bash
# release.sh vVERSION: what a release has, in dist/, beside the Debian packages that are there already: both wheels, the
# sources, its notes and the checksums of all. The tag is on this commit, the changelog has a section of the version, and
# its files are kept for the tests of later ones.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:?usage: release.sh vVERSION} version=${1#v}
fail() { echo "release.sh: $*" >&2; exit 2; }
[ "$(git describe --tags --exact-match 2>/dev/null)" = "$tag" ] || fail "this commit has not the tag $tag"
[ -z "$(git status --porcelain)" ] || fail "this tree has changes: a release is what the tag has"

install -d dist
awk -v heading="## $version" '$0 ~ /^## /{on = $0 == heading; next} on' CHANGELOG.md >dist/notes.md
[ -s dist/notes.md ] || fail "CHANGELOG.md has no section '## $version'"
[ -d "tests/packaging/releases/$version" ] || fail "tests/packaging/releases has no files of $version: CONTRIBUTING.md, Release"
for project in . packaging/client; do
    "${PYTHON:-python3}" -m pip wheel --quiet --no-deps --wheel-dir dist "./$project"
done
[ -e "dist/linkweather-$version-py3-none-any.whl" ] || fail "the wheel has another version: $(ls dist)"
git archive --prefix="linkweather-$version/" --output="dist/linkweather-$version.tar.gz" "$tag"
(cd dist && sha256sum -- *.whl *.tar.gz $(ls -- *.deb requirements-*.txt 2>/dev/null) >SHA256SUMS)
cat dist/SHA256SUMS
