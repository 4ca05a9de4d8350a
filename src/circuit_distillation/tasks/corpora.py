"""The tuning corpus of each task: arithmetic for entity tracking, instructions for theory of mind."""

from __future__ import annotations

from circuit_distillation.tasks import arithmetic, instructions
from circuit_distillation.tasks.corpus import Instruction, hold_out

HELD_OUT = 0.15  # share of all contents that no training item may have


def make_corpus(
    task: str, n_train: int, n_heldout: int, seed: int, max_digits: int
) -> tuple[list[Instruction], list[Instruction]]:
    """`n_train` items to tune on and `n_heldout` to test on, no content in both, no held-out content twice.

    ValueError if the generator has too few different held-out contents.
    """
    train, heldout, batch = [], {}, max(1000, n_train)
    for attempt in range(20):
        drawn = _generate(task, batch, seed * 1000 + attempt, max_digits)
        kept, out = hold_out(drawn, HELD_OUT)
        train += kept[: n_train - len(train)]
        heldout |= {item.content: item for item in out if item.content not in heldout}
        if len(train) == n_train and len(heldout) >= n_heldout:
            return train, list(heldout.values())[:n_heldout]
    raise ValueError(
        f"only {len(heldout)} of {n_heldout} held-out items of the {task} corpus differ: "
        "ask for fewer or raise max_digits"
    )


def _generate(task: str, n: int, seed: int, max_digits: int) -> list[Instruction]:
    if task == "entity":
        return arithmetic.generate(n, seed, max_digits)
    if task == "tom":
        return instructions.generate(n, seed)
    raise ValueError(f"there is no tuning corpus for task {task!r}; there is entity and tom")
