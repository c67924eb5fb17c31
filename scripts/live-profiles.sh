#!/bin/bash
# The live tests' traffic and programs, once on each NIC: with both ports' software NICs narrowed to its profile.
#
#   scripts/live-profiles.sh [NIC…]      NIC: a table of schemas/targets; all of them unless given
#   ONLY="not udp-" scripts/live-profiles.sh      leaves tests out, as pytest -k does: a busy machine loses datagrams of iperf3
#
# As root, in a built checkout; some 25 s a NIC. Exits 1 when a run failed; what it printed is kept.
set -u
cd "$(dirname "$0")/.."
nics=("$@")
if [ ${#nics[@]} -eq 0 ]; then
  for table in schemas/targets/*.json; do
    name=$(basename "$table" .json)
    case $name in target.schema | software | softflow) ;; *) nics+=("$name") ;; esac
  done
fi
failed=0
for nic in "${nics[@]}"; do
  log=build/live-$nic.log
  if SLUICE_LIVE_PROFILE=$nic CI=true timeout 600 /usr/bin/python3 -m pytest -q -p no:cacheprovider -k "${ONLY:-}" \
    test/live/test_traffic.py test/live/test_programs.py >"$log" 2>&1; then
    echo "$nic: $(tail -1 "$log")"
    rm "$log"
  else
    echo "$nic: FAILED: $(tail -1 "$log"); see $log"
    failed=1
  fi
done
exit $failed
