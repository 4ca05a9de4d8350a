#!/usr/bin/env bash
# The study over seeds: families x training seeds, both tasks side by side, then the claims and their tables.
# What exists is kept: a stopped study goes on where it was. Usage: scripts/study.sh [families] [training seeds] [extra,params]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tasks.sh
families="${1:-0 1 2}"
training_seeds="${2:-0 1 2}"
extra="${3:+,$3}"
start=$SECONDS

all_runs() { # every run of a task; the first of a family makes its models
    local task="$1" seed draw
    for seed in $families; do
        for draw in $training_seeds; do
            kedro_run "$task family $seed training $draw" --pipelines study_run --only-missing-outputs \
                --params "task=$task,seed=$seed,training_seed=$draw,$one_worker$extra"
        done
    done
}

first="seed=${families%% *}"
kedro_run entity --pipelines data_generation --only-missing-outputs --params "task=entity,$first${extra}" # MLflow's database
both_tasks all_runs
kedro_run study --pipelines study --params "task=entity${extra}"
finished_since "$start"
echo "the outcome: data/08_reporting/mini/study/replication.md (make replication puts its tables into docs/replication.md)"
