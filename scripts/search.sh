#!/usr/bin/env bash
# Trials on validation prompts of one family, or what was transferred to its students; both tasks side by side:
# scripts/search.sh search|sweeps|transfer [extra,params]. The family must exist: `make run` or `make study` makes it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tasks.sh
pipeline="$1"
extra="${2:+,$2}"
start=$SECONDS

missing() { kedro_run "$1" --pipelines "$pipeline" --only-missing-outputs --params "task=$1$extra"; }

both_tasks missing
finished_since "$start"
