"""Being here puts tests/ on the import path, so that tests can import the naive twins under tests/naive."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
