#!/usr/bin/env bash
# Trials on validation prompts of one family, or what was transferred to its students; both tasks side by side: scripts/search.sh search|sweeps|transfer [extra,params]
# The family must exist: `make run` or `make study` makes it.
set -euo pipefail
cd "$(dirname "$0")/.."
pipeline="$1"
extra="${2:+,$2}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export TQDM_MININTERVAL="${TQDM_MININTERVAL:-10}"

run() { # run TASK: what is missing of its trials
    .venv/bin/kedro run --pipelines "$pipeline" --only-missing-outputs --params "task=$1$extra" 2>&1 |
        .venv/bin/python -u scripts/prefix_lines.py "[$1]"
}

run entity &
entity=$!
run tom &
tom=$!
status=0
wait "$entity" || status=$?
wait "$tom" || status=$?
exit "$status"
