#!/usr/bin/env bash
# The native tests under AddressSanitizer and UBSan, built for it in build/sanitized: two minutes the first time, later what has changed.
# `scripts/sanitized.sh [CTEST OPTION...]`, as in `scripts/sanitized.sh -R engine_table_test`.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

build=build/sanitized
export UBSAN_OPTIONS=print_stacktrace=1
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG='-O1 -g1' -DSLUICE_SANITIZE=ON \
  -DSLUICE_DPDK_DRIVER_HEADERS="$PWD/build/dpdk-headers" >/dev/null
cmake --build "$build" -j 2
ctest --test-dir "$build" -j 2 --output-on-failure --timeout 300 "$@"
