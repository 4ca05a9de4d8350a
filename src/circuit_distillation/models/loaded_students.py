"""Students of a loaded family that has no smaller model: pruned from the large one, and not healed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from circuit_distillation.models.encoding import encode
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.models.pruned_size import PrunedSize
from circuit_distillation.models.pruning_choice import Prompts, prune
from circuit_distillation.tasks.example import Example

BATCH = 16  # prompts


def prune_students(
    large: Checkpoint, sizes: Mapping[str, PrunedSize], examples: Sequence[Example]
) -> tuple[dict[str, Checkpoint], dict[str, list[list[list[int]]]]]:
    """Role -> pruned model, and role -> [head, the head of the large model that it was] of each.

    What stays is chosen on the examples of the task.
    """
    prompts = _prompts(large, examples)
    students, ancestry = {}, {}
    for role, size in sizes.items():
        students[role], ancestors = prune(large, size, prompts)
        ancestry[role] = [[list(head), list(ancestor)] for head, ancestor in ancestors.items()]
    return students, ancestry


def _prompts(large: Checkpoint, examples: Sequence[Example]) -> list[Prompts]:
    batches = [encode(large.tokenizer, examples[i : i + BATCH]) for i in range(0, len(examples), BATCH)]
    batches = [batch.to(large.model.device) for batch in batches]
    return [
        Prompts({"input_ids": b.input_ids, "attention_mask": b.attention_mask}, b.attention_mask.bool())
        for b in batches
    ]
