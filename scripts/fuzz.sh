#!/usr/bin/env bash
# Coverage-guided fuzzing of the parser, of rules and packets in the flow engine, and of the whole slow path, with AddressSanitizer and UBSan.
# `scripts/fuzz.sh SECONDS [TARGET...]` starts from the seeds in test/fuzz/seeds and keeps what it finds in build/fuzz.
# `scripts/fuzz.sh --keep` folds what was found back into the seeds, smallest set first.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

build=build/fuzz
seconds=${1:-60}
shift || true
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=(parse_fuzz flow_rules_fuzz slow_path_fuzz)

cmake -S test/fuzz -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang-14 -DCMAKE_CXX_COMPILER=clang++-14 >/dev/null
cmake --build "$build" -j 2

for target in "${targets[@]}"; do
  found=$build/corpus/$target seeds=test/fuzz/seeds/$target
  mkdir -p "$found" "$seeds"
  if [ "$seconds" = --keep ]; then
    "$build/$target" -merge=1 -max_len=2048 "$seeds" "$found"
  else
    "$build/$target" -max_total_time="$seconds" -max_len=6000 -artifact_prefix="$build/" -print_final_stats=1 "$found" "$seeds"
  fi
done
