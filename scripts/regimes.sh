#!/usr/bin/env bash
# The regimes: families x draws of training prompts, both tasks side by side, then the claims and their tables.
# What exists is kept: a stopped study goes on where it was. Draws come one after the other for all families, so that a
# study that is stopped early has the same draws in each.
# Family 4 is left out: the settings were searched on it (kedro run --pipelines regime_search --params seed=4).
# Usage: scripts/regimes.sh [families] [training seeds] [extra,params]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tasks.sh
families="${1:-0 1 2 3 5}"
training_seeds="${2:-0 1 2}"
extra="${3:+,$3}"
start=$SECONDS

all_runs() {
    local task="$1" seed draw
    for draw in $training_seeds; do
        for seed in $families; do
            kedro_run "$task family $seed draw $draw" --pipelines regimes --only-missing-outputs \
                --params "task=$task,seed=$seed,training_seed=$draw,$one_worker$extra"
        done
    done
}

kedro_run entity --pipelines data_generation --only-missing-outputs --params "task=entity,seed=${families%% *}${extra}" # MLflow's database
both_tasks all_runs
kedro_run regimes --pipelines regime_tables --params "task=entity${extra}"
finished_since "$start"
echo "the outcome: data/08_reporting/mini/regimes/, a folder for each experiment"
