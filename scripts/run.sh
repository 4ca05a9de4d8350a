#!/usr/bin/env bash
# The whole paper with the mini family: both tasks side by side, then the path of the report.
# Usage: scripts/run.sh [extra,params]     e.g. scripts/run.sh seed=1
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tasks.sh
extra="${1:+,$1}"
start=$SECONDS

missing() { # missing TASK [kedro options]: what is not there or not up to date
    local task="$1"
    shift
    kedro_run "$task" --only-missing-outputs --params "task=$task,$one_worker$extra" "$@"
}

if [ ! -e mlflow.db ]; then
    missing entity --pipelines data_generation  # alone, since it creates MLflow's database
fi
both_tasks missing
missing tom --pipelines reporting           # the page over both tasks, if the task that ended last did not see the other
finished_since "$start"
echo "the report: $(pwd)/data/08_reporting/mini/report.html"
