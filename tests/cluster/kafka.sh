#!/usr/bin/env bash
# Leaves Kafka's jars in build/kafka: the distribution's Java and Maven by apt where they are missing, the jars by Maven
# (its settings name mirrors, as usual), each held to its checksum. Done once.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/cluster jars=build/kafka

say() { printf 'kafka: %s\n' "$*"; }

install() {
    local as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo -n)
    say "installing $* with apt"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null || true
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
        { echo "kafka: missing: $*. Install them, then run this again" >&2; exit 2; }
}

command -v java >/dev/null || install default-jre-headless
checked() { (cd "$jars" && sha256sum --check --quiet --strict) < "$here/kafka-jars.sha256" 2>/dev/null; }
[ -d "$jars" ] && checked && exit 0
command -v mvn >/dev/null || install maven
rm -rf "$jars"
mkdir -p build
say "fetching the jars with Maven"
mvn -q -B -f "$here/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DoutputDirectory="$PWD/$jars" >build/maven.log 2>&1 ||
    { echo "kafka: Maven cannot fetch the jars (build/maven.log); a mirror is named in its settings.xml" >&2; exit 2; }
checked || { echo "kafka: a jar is not the one of $here/kafka-jars.sha256" >&2; exit 2; }
say "ready: $jars"
