#!/usr/bin/env bash
# The study over seeds: families x training seeds, both tasks side by side, then the claims and docs/replication.md.
# What exists is kept: a stopped study goes on where it was. Usage: scripts/study.sh [families] [training seeds] [extra,params]
set -euo pipefail
cd "$(dirname "$0")/.."
families="${1:-0 1 2}"
training_seeds="${2:-0 1 2}"
extra="${3:+,$3}"
kedro="${KEDRO:-.venv/bin/kedro}"
python="${PYTHON:-.venv/bin/python}"
# Small models run faster on one thread a process; two tasks keep two cores busy.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export TQDM_MININTERVAL="${TQDM_MININTERVAL:-10}"
# One worker, since two tasks run; one random circuit a student, since the claims take those of discovered circuits.
lean="pretraining.max_workers=1,teacher_tuning.max_workers=1,evaluation.n_random_circuits_row=1"
start=$SECONDS

run() { # run TASK SEED TRAINING_SEED: one run of the study, whatever of it is missing
    "$kedro" run --pipelines study_run --only-missing-outputs \
        --params "task=$1,seed=$2,training_seed=$3,$lean$extra" 2>&1 |
        "$python" -u scripts/prefix_lines.py "[$1 family $2 training $3]"
}

all_runs() { # every run of a task; the first of a family makes its models
    for seed in $families; do
        for training_seed in $training_seeds; do run "$1" "$seed" "$training_seed"; done
    done
}

first="seed=${families%% *}"
"$kedro" run --pipelines data_generation --only-missing-outputs --params "task=entity,$first${extra}" # MLflow's database
all_runs entity &
entity=$!
all_runs tom &
tom=$!
status=0
wait "$entity" || status=$?
wait "$tom" || status=$?
[ "$status" -eq 0 ] || { echo "a task failed; the same command goes on from what exists" >&2; exit "$status"; }
"$kedro" run --pipelines study --params "task=entity${extra}"
seconds=$((SECONDS - start))
echo "finished in $((seconds / 60)) min $((seconds % 60)) s"
echo "the outcome: data/08_reporting/mini/study/replication.md (make replication copies it to docs/)"
