"""Generate the prompts of the task and the corpus its teacher is tuned on."""

from __future__ import annotations

from circuit_distillation.parameters import DataGeneration

SPLITS = ("train", "discovery", "means", "mapping", "validation", "test")


def generate_examples(parameters: DataGeneration, task: str, seed: int) -> tuple:
    """Frames of the splits in the order of `SPLITS`, then the corrupted counterparts of the discovery prompts."""
    from circuit_distillation.tasks import get_task
    from circuit_distillation.tasks.example import to_frame
    from circuit_distillation.tasks.splits import make_splits

    source = get_task(task, **getattr(parameters.task_options, task).model_dump())
    groups = getattr(parameters.groups, task)
    splits = make_splits(source, {split: getattr(groups, split) for split in SPLITS}, seed)
    corrupted = source.corrupt(splits["discovery"], seed)
    return *(to_frame(splits[split]) for split in SPLITS), to_frame(corrupted)


def generate_corpus(parameters: DataGeneration, task: str, seed: int) -> tuple:
    """The tuning corpus, arithmetic or instructions: training items, and held-out ones by `held_out`."""
    import pandas as pd

    from circuit_distillation.tasks.corpora import make_corpus

    corpus = make_corpus(task, seed=seed, **getattr(parameters.corpus, task).model_dump())
    kinds = ("unseen_prompts", "unseen_problems")
    held_out = [{**vars(item), "held_out": kind} for kind in kinds for item in getattr(corpus, kind)]
    return pd.DataFrame([vars(item) for item in corpus.train]), pd.DataFrame(held_out)
