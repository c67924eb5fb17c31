#!/usr/bin/env bash
# Coverage-guided fuzzing of the parser, of rules and packets in the flow engine, and of the whole slow path, with AddressSanitizer and UBSan.
# `scripts/fuzz.sh SECONDS [TARGET...]` starts from the seeds in test/fuzz/seeds and keeps what it finds in build/fuzz.
# `scripts/fuzz.sh --until-quiet [TARGET...]` goes on with each target until no new path has been found for 10 minutes, and says so; after two
#   hours it gives up, with exit status 1. A path is an edge of the control flow of functions of addon/, whichever way it is come to and however
#   often it is taken; edges of libraries' inline functions and of the fuzzers themselves are not counted (test/fuzz/not_ours.txt).
# `scripts/fuzz.sh --keep [TARGET...]` makes the seeds anew from them and from what was found: the smallest set with all its paths.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

build=build/fuzz
quiet_seconds=600 most_seconds=7200
mode=${1:-60}
shift || true
targets=("$@")
running=() pids=()
[ "${#targets[@]}" -gt 0 ] || targets=(parse_fuzz flow_rules_fuzz slow_path_fuzz)

# TARGET, the rest: its options. Ends with it, or by itself when it has been quiet for long enough.
until_quiet() {
  local target=$1 log=$build/$1.log
  shift
  "$build/$target" "$@" >"$log" 2>&1 &
  local pid=$! started=$SECONDS found=$SECONDS told=$SECONDS before=0 now status runs
  trap 'kill "$pid" 2>/dev/null' EXIT
  while kill -0 "$pid" 2>/dev/null && ((SECONDS - found < quiet_seconds && SECONDS - started < most_seconds)); do
    sleep 5
    now=$(tail -n 200 "$log" | sed -n 's/^#[0-9].* cov: \([0-9]*\) .*/\1/p' | tail -n 1)
    [ "${now:-$before}" = "$before" ] || { before=$now found=$SECONDS; }
    if ((SECONDS - told >= 60)); then
      told=$SECONDS
      printf '%s: %d paths, none new for %d s, %d s in all\n' "$target" "$before" $((SECONDS - found)) $((SECONDS - started))
    fi
  done
  kill -USR1 "$pid" 2>/dev/null || true # ends it well, with its statistics
  status=0
  wait "$pid" || status=$?
  trap - EXIT
  if [ "$status" -ne 0 ]; then
    tail -n 60 "$log"
    printf '%s: a finding, exit status %d\n' "$target" "$status"
    return 1
  fi
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  if ((SECONDS - found < quiet_seconds)); then
    printf '%s: %d paths, still a new one %d s ago after %d s and %s runs\n' "$target" "$before" $((SECONDS - found)) $((SECONDS - started)) "$runs"
    return 1
  fi
  printf '%s: quiet. %d paths, no new one in the last %d s of %d s, no finding in %s runs\n' \
    "$target" "$before" $((SECONDS - found)) $((SECONDS - started)) "$runs"
}

cmake -S test/fuzz -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang-14 -DCMAKE_CXX_COMPILER=clang++-14 >/dev/null
cmake --build "$build" -j 2 --target "${targets[@]}"

for target in "${targets[@]}"; do
  found=$build/corpus/$target seeds=test/fuzz/seeds/$target
  mkdir -p "$found" "$seeds"
  case $mode in
    --keep)
      rm -rf "$build/kept"
      mkdir "$build/kept"
      "$build/$target" -merge=1 -use_counters=0 -max_len=2048 "$build/kept" "$seeds" "$found"
      rm -rf "$seeds"
      mv "$build/kept" "$seeds"
      ;;
    --until-quiet)
      until_quiet "$target" -use_counters=0 -max_len=1500 -artifact_prefix="$build/" -print_final_stats=1 "$found" "$seeds"
      ;;
    *)
      running+=("$target")
      "$build/$target" -max_total_time="$mode" -max_len=6000 -artifact_prefix="$build/" -print_final_stats=1 "$found" "$seeds" \
        >"$build/$target.log" 2>&1 &
      pids+=("$!")
      ;;
  esac
done

trap 'kill "${pids[@]}" 2>/dev/null || true' EXIT
# All at once: a finding of one does not keep the others from theirs.
status=0
for i in "${!pids[@]}"; do
  wait "${pids[$i]}" || { status=1 && printf '%s: a finding\n' "${running[$i]}"; }
  tail -n 60 "$build/${running[$i]}.log"
done
exit "$status"
