"""If memory runs out, do the same work in smaller parts. Results are the same up to rounding."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

logger = logging.getLogger(__name__)
T = TypeVar("T")
CPU_WORDS = ("can't allocate memory", "not enough memory")  # of torch's allocators for the CPU


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the GPU or the machine is out of memory."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in CPU_WORDS)
    )


def within_memory(what: str, size: float, unit: str, work: Callable[[float], T]) -> T:
    """`work(size)`; if memory runs out, it starts again with half the size, down to one `unit`.

    `what` names the work in the line that is logged. For work that leaves nothing behind when it fails.
    """
    while True:
        try:
            return work(size)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or size < 2:
                raise
        # Out of the handler: the error no longer holds the tensors of the frames that it came through.
        size /= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning("out of memory in %s: going on with %g %s at a time", what, size, unit)
