#!/usr/bin/env bash
#SBATCH --job-name=circuit-distillation
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=128G
#SBATCH --time=24:00:00
#SBATCH --output=%x-%A_%a.log
#SBATCH --requeue
# One run on one or several machines, from the project's folder:
#     sbatch scripts/slurm.sh task=entity
#     sbatch --nodes=2 --gpus-per-node=8 scripts/slurm.sh task=tom,finetuning.method.large=full,finetuning.sharded=true
#     sbatch --array=0-2 scripts/slurm.sh task=entity          # a seed each
# The environment is llama3 (ENVIRONMENT=qwen3 for another). A job that ends early goes on where it was when it is
# submitted again. The folder, data_root and the temporary files (SHARED_TMP) must be on a disk that all machines see.
set -euo pipefail
params="${1:?give the parameters, such as task=entity}"
gpus="${SLURM_GPUS_ON_NODE:-1}"
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then params="$params,seed=$SLURM_ARRAY_TASK_ID"; fi

export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}" TOKENIZERS_PARALLELISM=false
export KEDRO_DISABLE_TELEMETRY=1 DO_NOT_TRACK=1
CIRCUIT_FIRST="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p):$((20000 + SLURM_JOB_ID % 20000))"
CIRCUIT_KEY="$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')"
export CIRCUIT_FIRST CIRCUIT_KEY CIRCUIT_MACHINES="$SLURM_JOB_NUM_NODES"
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
    TMPDIR="$(mktemp -d -p "${SHARED_TMP:-$PWD}" .tmp.XXXXXX)"
    export TMPDIR
    trap 'rm -rf "$TMPDIR"' EXIT
fi

export RUN_ENVIRONMENT="${ENVIRONMENT:-llama3}" RUN_PARAMS="processes=$((SLURM_JOB_NUM_NODES * gpus)),$params"
# A task a machine: the first runs Kedro, the others join it and end with it. Any that fails ends all.
srun --ntasks-per-node=1 --kill-on-bad-exit=1 --wait=60 bash -c '
if [ "$SLURM_NODEID" = 0 ]; then
    exec .venv/bin/kedro run --env "$RUN_ENVIRONMENT" --only-missing-outputs --params "$RUN_PARAMS"
fi
exec .venv/bin/python -m circuit_distillation.compute.machines'
