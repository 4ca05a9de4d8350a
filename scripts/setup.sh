#!/usr/bin/env bash
# Make .venv with pinned dependencies. Usage: scripts/setup.sh [extra]   (extra: pipeline by default, test, dev, ...)
# Torch is a CPU build where there is no NVIDIA GPU; it is never CUDA by accident.
set -euo pipefail
cd "$(dirname "$0")/.."
extra="${1:-pipeline}"
stamp=".venv/.ready-$extra"
[ -f "$stamp" ] && [ "$stamp" -nt pyproject.toml ] && [ "$stamp" -nt requirements.lock ] && exit 0

python="${PYTHON:-}"
for name in python3 python3.13 python3.12 python3.11; do
    [ -n "$python" ] && break
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python="$name"; fi
done
[ -n "$python" ] || { echo "setup: Python 3.11 or newer is needed; set PYTHON=/path/to/python" >&2; exit 1; }
[ -x .venv/bin/python ] || "$python" -m venv .venv
pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)

torch_version=2.13.0
needs_no_cuda() { # whether the plain wheel, as its metadata says, asks for no CUDA libraries
    "${pip[@]}" --dry-run --ignore-installed --no-deps --report - "torch==$torch_version" 2>/dev/null |
        .venv/bin/python -c '
import json, sys
needs = json.load(sys.stdin)["install"][0]["metadata"].get("requires_dist", [])
sys.exit(any(name.startswith(("nvidia", "cuda", "triton")) for name in needs))' 2>/dev/null
}
install_torch() {
    .venv/bin/python -c "import torch, sys; sys.exit(torch.__version__.split('+')[0] != '$torch_version')" 2>/dev/null && return
    if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1; then "${pip[@]}" "torch==$torch_version"; return; fi
    if [ "$(uname -s)" != Linux ]; then "${pip[@]}" "torch==$torch_version"; return; fi
    # On Linux the plain name may bring gigabytes of CUDA: ask for the CPU build by its local version,
    # first from the indexes pip is set up with, then from PyTorch's own.
    "${pip[@]}" --no-deps "torch==$torch_version+cpu" 2>/dev/null && return
    "${pip[@]}" --no-deps --retries 1 --index-url https://download.pytorch.org/whl/cpu "torch==$torch_version+cpu" && return
    # An index of CPU builds alone may name them plainly (as for ARM).
    needs_no_cuda && "${pip[@]}" --no-deps "torch==$torch_version" && return
    echo "setup: no CPU build of torch $torch_version could be found; install one into .venv and run again" >&2
    exit 1
}

echo "setup: installing into .venv (about 2 GB, a few minutes the first time)" >&2
install_torch
"${pip[@]}" --constraint requirements.lock --editable ".[$extra]"
touch "$stamp"
