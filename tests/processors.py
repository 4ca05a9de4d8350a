"""What the instructions that PyTorch may use here leave out."""

from __future__ import annotations

import pytest
import torch

# With ATEN_CPU_CAPABILITY=default on a processor with AVX-512, attention in bfloat16 asks for a kernel that
# PyTorch then does not have: "pack_vnni2 is only supported when avx512 is supported".
needs_bfloat16_attention = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT",
    reason="PyTorch has no bfloat16 attention without vector instructions",
)
