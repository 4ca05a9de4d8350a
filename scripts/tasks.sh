# Sourced by the scripts beside it, from the root of the project: both tasks side by side.
# Small models run faster on one thread a process; two tasks keep two cores busy.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export TQDM_MININTERVAL="${TQDM_MININTERVAL:-10}"
one_worker="pretraining.max_workers=1,teacher_tuning.max_workers=1"

kedro_run() { # kedro_run PREFIX [options]: a run, its lines and progress bars under a prefix
    local prefix="$1"
    shift
    .venv/bin/kedro run "$@" 2>&1 | .venv/bin/python -u scripts/prefix_lines.py "[$prefix]"
}

both_tasks() { # both_tasks FUNCTION: `FUNCTION entity` beside `FUNCTION tom`; ends the script if one of them fails
    local entity tom status=0
    set -m  # each in a process group of its own, to which Ctrl-C is passed on
    "$1" entity &
    entity=$!
    "$1" tom &
    tom=$!
    set +m
    trap 'kill -INT -- "-$entity" "-$tom" 2>/dev/null || true' INT TERM
    wait "$entity" || status=$?
    wait "$tom" || status=$?
    wait  # a wait that Ctrl-C ended was not for the end of the task
    trap - INT TERM
    [ "$status" -eq 0 ] || { echo "a task failed; the same command goes on from what exists" >&2; exit "$status"; }
}

finished_since() { # finished_since SECONDS: how long it took
    local seconds=$((SECONDS - $1))
    echo "finished in $((seconds / 60)) min $((seconds % 60)) s"
}
