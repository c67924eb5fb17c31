#!/usr/bin/env bash
# Random sequences of packets through the gateway, judged by the model in test/model.
# scripts/model.sh [--seconds N] [--seed S] [--sequences N] [--faults N]
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
# Captures of one packet each are written and read all the time: memory is the place for them.
if [ -z "${TMPDIR:-}" ] && [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi
exec node --require ./test/model/typescript.cjs test/model/main.ts "$@"
