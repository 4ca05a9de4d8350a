#!/usr/bin/env bash
# The whole paper with the mini family: both tasks side by side, then the path of the report.
# Usage: scripts/run.sh [extra,params]     e.g. scripts/run.sh seed=1
set -euo pipefail
cd "$(dirname "$0")/.."
extra="${1:+,$1}"
# Small models run faster on one thread a process; two tasks keep two cores busy.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export TQDM_MININTERVAL="${TQDM_MININTERVAL:-10}"
one_worker="pretraining.max_workers=1,teacher_tuning.max_workers=1"
start=$SECONDS

run() { # run TASK [kedro options]: lines of progress under the name of the task
    local task="$1"
    shift
    .venv/bin/kedro run --params "task=$task,$one_worker$extra" "$@" 2>&1 |
        .venv/bin/python -u scripts/prefix_lines.py "[$task]"
}

run entity --pipelines data_generation    # alone, since it creates MLflow's database
run tom --pipelines data_generation
run entity --only-missing-outputs &
entity=$!
run tom --only-missing-outputs &
tom=$!
status=0
wait "$entity" || status=$?
wait "$tom" || status=$?
[ "$status" -eq 0 ] || { echo "a task failed; the same command goes on from what exists" >&2; exit "$status"; }
run tom --pipelines reporting             # the page over both tasks, whichever ended first
seconds=$((SECONDS - start))
echo "finished in $((seconds / 60)) min $((seconds % 60)) s"
echo "the report: $(pwd)/data/08_reporting/mini/report.html"
