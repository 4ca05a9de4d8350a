#!/usr/bin/env bash
# The whole paper with the mini family: both tasks side by side, then the path of the report.
# Usage: scripts/run.sh [extra,params]     e.g. scripts/run.sh seed=1
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tasks.sh
extra="${1:+,$1}"
start=$SECONDS

run() { # run TASK [kedro options]
    local task="$1"
    shift
    kedro_run "$task" --params "task=$task,$one_worker$extra" "$@"
}
missing() { run "$1" --only-missing-outputs; }

run entity --pipelines data_generation    # alone, since it creates MLflow's database
run tom --pipelines data_generation
both_tasks missing
run tom --pipelines reporting             # the page over both tasks, whichever ended first
finished_since "$start"
echo "the report: $(pwd)/data/08_reporting/mini/report.html"
