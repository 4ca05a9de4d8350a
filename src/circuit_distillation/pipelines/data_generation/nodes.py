"""Generate the prompts of the task and the corpus its teacher is tuned on."""

from __future__ import annotations

from circuit_distillation.parameters import DataGeneration

SPLITS = ("train", "discovery", "means", "mapping", "validation", "test")


def generate_examples(parameters: DataGeneration, task: str, seed: int) -> tuple:
    """Frames of the splits in the order of `SPLITS`, then the corrupted counterparts of the discovery prompts."""
    from circuit_distillation.tasks import get_task
    from circuit_distillation.tasks.example import to_frame
    from circuit_distillation.tasks.splits import make_splits

    source = get_task(task, **parameters.task_options[task])
    splits = make_splits(source, {split: parameters.groups[task][split] for split in SPLITS}, seed)
    corrupted = source.corrupt(splits["discovery"], seed)
    return *(to_frame(splits[split]) for split in SPLITS), to_frame(corrupted)


def generate_corpus(parameters: DataGeneration, task: str, seed: int) -> tuple:
    """Training and held-out items of the tuning corpus: arithmetic or instructions."""
    import pandas as pd

    from circuit_distillation.tasks.corpora import make_corpus

    parts = make_corpus(task, seed=seed, **parameters.corpus[task].model_dump())
    return tuple(pd.DataFrame([vars(item) for item in part]) for part in parts)
