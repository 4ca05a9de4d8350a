"""Generate the prompts of the task and the corpus its teacher is tuned on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from circuit_distillation.models.settings import Loading
from circuit_distillation.parameters.data import Corpora, Groups, TaskOptions
from circuit_distillation.parameters.models import Models
from circuit_distillation.storage.sources import DataFile
from circuit_distillation.tasks import get_task
from circuit_distillation.tasks.corpora import make_corpus, read_corpus
from circuit_distillation.tasks.splits import make_splits


def generate_examples(
    groups: Groups, task_options: TaskOptions, task: str, seed: int, left_out: Sequence[str] = ()
) -> tuple:
    """Examples of the splits in the order of `SPLITS`, then the corrupted counterparts of discovery prompts.

    `left_out` are words that the family's tokenizer splits.
    """
    options = getattr(task_options, task).model_dump()
    source = get_task(task, **options | {"exclude_words": (*options["exclude_words"], *left_out)})
    splits = make_splits(source, getattr(groups, task).model_dump(), seed)
    return *splits.values(), source.corrupt(splits["discovery"], seed)


def generate_examples_for_models(
    groups: Groups,
    task_options: TaskOptions,
    models: Models,
    loading: Loading,
    record: dict[str, Any],
    task: str,
    seed: int,
) -> tuple:
    """The same for loaded models: of words of one token each, every prompt checked with the tokenizer."""
    from circuit_distillation.models.encoding import encode
    from circuit_distillation.models.loaded_family import family_sources, load_tokenizer

    splits = generate_examples(groups, task_options, task, seed, record["words_left_out"])
    tokenizer = load_tokenizer(family_sources(models, loading)["large"])
    for examples in splits:
        encode(tokenizer, examples)
    return splits


def generate_corpus(corpora: Corpora, task: str, seed: int) -> tuple:
    """The tuning corpus, from its file or generated: training items, and held-out ones by `held_out`."""
    import pandas as pd

    settings = getattr(corpora, task)
    if settings.source is None:
        corpus = make_corpus(settings, seed)
    else:
        corpus = read_corpus(settings, _corpus_file(settings.source), seed)
    kinds = ("unseen_prompts", "unseen_problems")
    held_out = [{**vars(item), "held_out": kind} for kind in kinds for item in getattr(corpus, kind)]
    return pd.DataFrame([vars(item) for item in corpus.train]), pd.DataFrame(held_out)


def _corpus_file(source: DataFile) -> Path:
    from circuit_distillation.models.hub import download

    if source.path is not None:
        return Path(source.path).expanduser()
    assert source.hub_id and source.revision and source.file, "a source without a path is on the hub"
    return download(source.hub_id, source.revision, [source.file], repo_type="dataset") / source.file
