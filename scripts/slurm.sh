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
export RUN_ENVIRONMENT="${ENVIRONMENT:-llama3}" RUN_PARAMS="processes=$((SLURM_JOB_NUM_NODES * gpus)),$params"
run='exec kedro run --env "$RUN_ENVIRONMENT" --only-missing-outputs --params "$RUN_PARAMS"'
export PATH="$PWD/.venv/bin:$PATH"
if [ "$SLURM_JOB_NUM_NODES" = 1 ]; then exec srun --ntasks-per-node=1 bash -c "$run"; fi

# Ray starts on every machine, runs Kedro on the first and ends with it. Its own files stay on each machine.
export RAY_TMPDIR="${RAY_TMPDIR:-/tmp}" RAY_USAGE_STATS_ENABLED=0 RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=600
RAY_ADDRESS="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p):$((20000 + SLURM_JOB_ID % 20000))"
RAY_AUTH_TOKEN="$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')"  # keeps strangers out
TMPDIR="$(mktemp -d -p "${SHARED_TMP:-$PWD}" .tmp.XXXXXX)"
export RAY_ADDRESS RAY_AUTH_TOKEN RAY_AUTH_MODE=token TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
srun --ntasks-per-node=1 --kill-on-bad-exit=1 --wait=60 ray symmetric-run --address "$RAY_ADDRESS" \
    --min-nodes "$SLURM_JOB_NUM_NODES" --num-cpus "${SLURM_CPUS_PER_TASK:-1}" --num-gpus "$gpus" -- bash -c "$run"
