#!/usr/bin/env bash
# The whole paper with the mini family: both tasks, then the path of the report. Usage: scripts/run.sh [extra,params]
set -euo pipefail
cd "$(dirname "$0")/.."
extra="${1:+,$1}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"   # small models run faster on one thread a process
start=$SECONDS
for task in entity tom; do
    .venv/bin/kedro run --params "task=$task$extra"
done
echo "finished in $(((SECONDS - start) / 60)) min $(((SECONDS - start) % 60)) s; the report: data/08_reporting/mini/report.html"
