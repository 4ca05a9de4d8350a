"""Generate the prompts of the task and the corpus its teacher is tuned on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from circuit_distillation.parameters.data import Corpora, Groups, TaskOptions
from circuit_distillation.parameters.loaded import CorpusFile

SPLITS = ("train", "discovery", "means", "mapping", "validation", "test")


def generate_examples(
    groups: Groups, task_options: TaskOptions, task: str, seed: int, left_out: Sequence[str] = ()
) -> tuple:
    """Frames of the splits in the order of `SPLITS`, then the corrupted counterparts of discovery prompts.

    `left_out` are words that the family's tokenizer splits.
    """
    from circuit_distillation.tasks import get_task
    from circuit_distillation.tasks.example import to_frame
    from circuit_distillation.tasks.splits import make_splits

    options = getattr(task_options, task).model_dump()
    source = get_task(task, **options | {"exclude_words": (*options["exclude_words"], *left_out)})
    sizes = getattr(groups, task)
    splits = make_splits(source, {split: getattr(sizes, split) for split in SPLITS}, seed)
    corrupted = source.corrupt(splits["discovery"], seed)
    return *(to_frame(splits[split]) for split in SPLITS), to_frame(corrupted)


def generate_examples_for_models(
    groups: Groups,
    task_options: TaskOptions,
    models: dict[str, Any],
    loading: dict[str, Any],
    record: dict[str, Any],
    task: str,
    seed: int,
) -> tuple:
    """The same for loaded models: of words of one token each, every prompt checked with the tokenizer."""
    from circuit_distillation.models.encoding import encode
    from circuit_distillation.models.family import family_sources, load_tokenizer
    from circuit_distillation.tasks.example import from_frame

    frames = generate_examples(groups, task_options, task, seed, record["words_left_out"])
    sources = family_sources(models, loading)
    tokenizer = load_tokenizer(sources["large"])
    for frame in frames:
        encode(tokenizer, from_frame(frame))
    return frames


def generate_corpus(corpora: Corpora, task: str, seed: int) -> tuple:
    """The tuning corpus, from its file or generated: training items, and held-out ones by `held_out`."""
    import pandas as pd

    from circuit_distillation.tasks.corpora import make_corpus, read_corpus

    chosen = getattr(corpora, task)
    if chosen.source is not None:
        corpus = read_corpus(task, _corpus_file(chosen.source), chosen.n_train, chosen.n_heldout, seed)
    else:
        corpus = make_corpus(task, seed=seed, **chosen.model_dump(exclude={"source"}))
    kinds = ("unseen_prompts", "unseen_problems")
    held_out = [{**vars(item), "held_out": kind} for kind in kinds for item in getattr(corpus, kind)]
    return pd.DataFrame([vars(item) for item in corpus.train]), pd.DataFrame(held_out)


def _corpus_file(source: CorpusFile) -> Path:
    from circuit_distillation.models.hub import download

    if source.path is not None:
        return Path(source.path).expanduser()
    return download(source.hub_id, source.revision, [source.file], repo_type="dataset") / source.file
