#!/usr/bin/env bash
# Replays the example captures through the whole gateway with the software NIC, and checks what came out.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

out=build/quickstart
mkdir -p "$out"
echo 'sluice replay --config examples/gateway.json --in fabric=examples/fabric.pcap --in external=examples/external.pcap'
echo
bin/sluice replay --config examples/gateway.json \
  --in fabric=examples/fabric.pcap --in external=examples/external.pcap \
  --out fabric="$out/fabric.pcap" --out external="$out/external.pcap"
echo
bad=$(for capture in "$out"/fabric.pcap "$out"/external.pcap; do
  tshark -r "$capture" -o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE \
    -Y 'ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 || icmp.checksum.status == 0' 2>/dev/null
done | wc -l)
echo "What left is in $out/fabric.pcap and $out/external.pcap; tshark finds $bad bad checksums in them."
[ "$bad" -eq 0 ]
