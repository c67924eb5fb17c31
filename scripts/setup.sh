#!/usr/bin/env bash
# Makes a checkout ready to run: Debian packages, npm packages, driver headers, native and TypeScript build.
# Every step is skipped when nothing that it reads has changed, so a second run takes a moment.
set -Eeuo pipefail
trap 'printf "setup: failed at line %s of %s\n" "$LINENO" "${BASH_SOURCE[0]}" >&2' ERR
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

PACKAGES=(
  build-essential cmake ninja-build pkg-config dpkg-dev   # native build
  libdpdk-dev dpdk dpdk-dev libpcap-dev                   # DPDK, its testpmd and flow-perf, captures
  python3-scapy python3-pytest python3-pytest-xdist tshark tcpdump # black-box tests
  iproute2 iputils-ping curl ethtool redis-server nftables # tests with hosts in network namespaces, mirror, HA
  traceroute iputils-tracepath iperf3 netcat-openbsd      # programs that those hosts run
  bind9-dnsutils dnsmasq-base                             # dig, and a name server without a service of its own
  clang-14 libclang-rt-14-dev                             # fuzzers
  valgrind nftables                                       # instructions of the regression guard, a peer of the benches
)
STATE=build/setup

say() { printf '» %s\n' "$*" >&2; }

fail() {
  printf 'setup: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf '  %s\n' "$2" >&2
  exit 1
}

# logged NAME COMMAND...: runs a command quietly; shows the end of what it said when it fails.
logged() {
  local log=$STATE/$1.log
  shift
  if ! "$@" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    fail "failed: $*" "the whole output is in $log"
  fi
}

# fingerprint PATH...: one hash of the names and contents of files, and of all files below folders. A path may be missing.
fingerprint() {
  { find "$@" -type f -not -name '*.pyc' -print0 2>/dev/null || true; } | LC_ALL=C sort -z | xargs -0r sha256sum | sha256sum | cut -d' ' -f1
}

# unchanged STAMP VALUE: whether a step was last done with this value.
unchanged() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

install_packages() {
  local missing=() name
  for name in "${PACKAGES[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
    fail "Debian packages are missing: ${missing[*]}" "run this as root, install sudo, or install them yourself with apt-get"
  fi
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"

  # Packages must not start services here: the tests start the Redis they need themselves. invoke-rc.d asks policy-rc.d.
  local policy=/usr/sbin/policy-rc.d own_policy=false
  if [ ! -e "$policy" ]; then
    own_policy=true
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  # A third party's broken repository must not stop us: whether Debian's packages can be had, the next command tells.
  as_root apt-get -q update >"$STATE/apt-update.log" 2>&1 || say "apt-get update had errors, see $STATE/apt-update.log"
  logged apt-install as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y --no-install-recommends install "${missing[@]}"
  if $own_policy; then
    as_root rm -f "$policy"
    trap - EXIT
  fi
  case " ${missing[*]} " in
    *' redis-server '*)
      if [ -d /run/systemd/system ]; then as_root systemctl disable redis-server >/dev/null 2>&1 || true; fi
      ;;
  esac
}

check_node() {
  command -v node >/dev/null && command -v npm >/dev/null ||
    fail 'Node.js with npm is missing' 'install Node.js 20 or newer, see https://nodejs.org'
  local major
  major=$(node -p 'process.versions.node.split(".")[0]')
  [ "$major" -ge 20 ] || fail "Node.js $(node --version) is too old" 'Sluice needs 20 or newer'
}

install_dependencies() {
  if node scripts/dependencies-current.mjs; then return 0; fi
  say 'installing npm packages'
  logged npm-ci npm ci --no-audit --no-fund
}

generate() {
  # The generated files are part of the repository; ./check tells when they are stale.
  if [ -f src/native/records.ts ] && [ -f addon/generated/records.h ]; then return 0; fi
  say 'generating record layouts'
  logged generate npm run --silent generate
}

build_native() {
  if [ ! -f CMakeLists.txt ]; then return 0; fi
  local want
  want="$(fingerprint CMakeLists.txt addon test/native schemas/records.json package-lock.json build/dpdk-headers/VERSION) $(node --version)"
  want+=" $(dpkg-query -W -f '${Version}' libdpdk-dev)"
  if [ -d build/native ] && unchanged "$STATE/native.stamp" "$want"; then return 0; fi
  say 'building the addon and the software NIC (the first time takes some minutes)'
  rm -f "$STATE/native.stamp"
  logged native npx --no-install cmake-js compile -O build/native
  printf '%s\n' "$want" >"$STATE/native.stamp"
}

build_typescript() {
  local want
  want="$(fingerprint src bench tsconfig.json package-lock.json)"
  if [ -d dist ] && unchanged "$STATE/typescript.stamp" "$want"; then return 0; fi
  say 'compiling TypeScript'
  rm -f "$STATE/typescript.stamp"
  logged typescript npx --no-install tsc -p tsconfig.json
  printf '%s\n' "$want" >"$STATE/typescript.stamp"
}

mkdir -p "$STATE"
command -v apt-get >/dev/null || fail 'this is not Debian' "Sluice is built and tested on Debian 12; docs tell what it needs elsewhere"
exec 9>"$STATE/lock"
flock 9
install_packages
check_node
install_dependencies
logged dpdk-headers scripts/fetch-dpdk-headers.sh
generate
build_native
build_typescript
