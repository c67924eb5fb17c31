#!/bin/bash
# Fetches the DPDK driver headers that Debian's libdpdk-dev leaves out (ethdev_driver.h and those it needs).
#
#   scripts/fetch-dpdk-headers.sh [OUTPUT-FOLDER]      default: build/dpdk-headers
#
# They come from the Debian source package of exactly the installed libdpdk-dev: a driver is compiled against the
# private structures of the library it is loaded into. Where they come from is read from this machine's own apt
# sources, so mirrors and proxies are respected and no deb-src line has to exist. A DPDK installed with
# -Denable_driver_sdk=true already has them; CMake then does not call this script.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
output=${1:-$here/build/dpdk-headers}
headers=(
  lib/ethdev/ethdev_driver.h
  lib/ethdev/ethdev_vdev.h
  lib/eal/include/dev_driver.h
  lib/eal/include/bus_driver.h
  drivers/bus/vdev/bus_vdev_driver.h
)

fail() {
  echo "fetch-dpdk-headers: $1" >&2
  [ $# -lt 2 ] || echo "  hint: $2" >&2
  exit 1
}

version=$(dpkg-query -W -f '${source:Version}' libdpdk-dev 2>/dev/null) && [ -n "$version" ] ||
  fail "libdpdk-dev is not installed" "apt-get install libdpdk-dev, or install DPDK with -Denable_driver_sdk=true"

if [ "$(cat "$output/VERSION" 2>/dev/null)" = "$version" ]; then
  exit 0
fi

for tool in apt-get dpkg-source tar awk; do
  command -v "$tool" >/dev/null || fail "$tool is missing" "apt-get install dpkg-dev apt tar gawk"
done

scratch=$output.tmp
rm -rf "$scratch"
mkdir -p "$scratch"/{lists/partial,archives/partial,source}
trap 'rm -rf "$scratch"' EXIT

codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
[ -n "$codename" ] || fail "/etc/os-release names no VERSION_CODENAME"

# Debian's own entries: a suite of this release and the component main. Third parties use suites of their own.
# Both formats become stanzas of one deb822 file, with the options that say which key signs and which mirror serves.
is_debian_suite() { case $1 in "$codename" | "$codename-updates" | "$codename-security" | stable | stable-updates | stable-security) true ;; *) false ;; esac; }

write_stanza() {  # uris suites components signed-by
  local suites= suite
  for suite in $2; do
    if is_debian_suite "${suite%/}"; then suites+=" $suite"; fi
  done
  case " $3 " in *" main "*) ;; *) return 0 ;; esac
  [ -n "$suites" ] || return 0
  printf 'Types: deb-src\nURIs: %s\nSuites:%s\nComponents: main\n%s\n' "$1" "$suites" "${4:+Signed-By: $4
}" >>"$scratch/debian.sources"
}

field() { awk -v name="$1" 'BEGIN { IGNORECASE = 1 } { line = $0; key = tolower(name) ":"
  if (index(tolower(line), key) == 1) { sub(/^[^:]*:[ \t]*/, "", line); print line } }' <<<"$2"; }

for file in /etc/apt/sources.list.d/*.sources; do
  [ -r "$file" ] || continue
  while IFS= read -r -d $'\x1e' stanza; do
    case $(field Enabled "$stanza" | tr '[:upper:]' '[:lower:]') in no | false | 0) continue ;; esac
    signed=$(field Signed-By "$stanza")
    # A key written into the stanza itself spans lines; apt's own trusted keys serve instead.
    case $signed in /*) ;; *) signed= ;; esac
    write_stanza "$(field URIs "$stanza")" "$(field Suites "$stanza")" "$(field Components "$stanza")" "$signed"
  done < <(awk 'BEGIN { RS = ""; ORS = "\x1e" } { gsub(/(^|\n)#[^\n]*/, ""); sub(/^\n+/, ""); print }' "$file")
done
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
  [ -r "$file" ] || continue
  while read -r line; do
    options=$(sed -n 's/^[a-z-]* *\[\([^]]*\)\].*/\1/p' <<<"$line")
    signed=$(sed -n 's/.*signed-by=\([^ ]*\).*/\1/p' <<<"$options")
    set -- $(sed 's/\[[^]]*\]//' <<<"$line")
    [ $# -ge 4 ] || continue
    uri=$2 suite=$3
    shift 3
    write_stanza "$uri" "$suite" "$*" "$signed"
  done < <(sed -n -e 's/#.*//' -e '/^deb\(-src\)\{0,1\}[ \t]/p' "$file")
done
[ -s "$scratch/debian.sources" ] ||
  fail "no entry for Debian $codename with component main in /etc/apt/sources.list or /etc/apt/sources.list.d" \
       "add Debian's own repository to the apt sources"

apt_options=(
  -o Dir::Etc::SourceList="$scratch/debian.sources" -o Dir::Etc::SourceParts=/dev/null
  -o Dir::State::lists="$scratch/lists" -o Dir::Cache::archives="$scratch/archives"
  -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User= -o Acquire::Languages=none
  -o Acquire::Retries=3
)
if ! apt-get -q "${apt_options[@]}" update >"$scratch/log" 2>&1; then
  cat "$scratch/log" >&2
  fail "could not read Debian's source package index" "is the machine's apt mirror reachable?"
fi
if ! (cd "$scratch/source" && apt-get -q "${apt_options[@]}" source --download-only "dpdk=$version" >>"$scratch/log" 2>&1); then
  cat "$scratch/log" >&2
  fail "the source package dpdk=$version could not be had" \
       "if the mirror has moved on to a newer version, upgrade libdpdk-dev so that both match"
fi
archives=("$scratch"/source/dpdk_*.orig.tar.*)
archive=
for candidate in "${archives[@]}"; do case $candidate in *.asc) ;; *) archive=$candidate ;; esac; done
[ -f "$archive" ] || fail "the source package dpdk=$version holds no upstream archive"

mkdir -p "$scratch/include"
for header in "${headers[@]}"; do
  wanted+=("*/$header")
done
tar -xf "$archive" -C "$scratch/include" --strip-components=1 --wildcards "${wanted[@]}" ||
  fail "$(basename "$archive") lacks a driver header" "needed: ${headers[*]}"
rm -rf "$output"
mkdir -p "$output"
for header in "${headers[@]}"; do
  cp "$scratch/include/$header" "$output/"
done
echo "$version" >"$output/VERSION"
echo "driver headers of DPDK $version are in $output"
