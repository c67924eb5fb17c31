#!/usr/bin/env bash
# Random operations on gateways with software NICs that are late, small, limited, or refuse rules; judged at quiet moments.
# scripts/controller-runs.sh [--seconds N] [--seed S] [--rounds N] [--nics few|all] [--nic NAME] [--moments N] [--all-outcomes]
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
exec node --require ./test/model/typescript.cjs test/controller/run/main.ts "$@"
