"""Find the base models of a family that is loaded, and the words its tokenizer can take."""

from __future__ import annotations

from typing import Any

from circuit_distillation.parameters.data import TaskOptions


def load_base_models(
    models: dict[str, Any], loading: dict[str, Any], task_options: TaskOptions, task: str
) -> tuple:
    """Where small, medium and large are, downloaded and checked, and the record of what they are."""
    from circuit_distillation.models.family import check_family, family_record, family_sources, load_tokenizer
    from circuit_distillation.models.words import split_words
    from circuit_distillation.tasks import get_task

    sources = family_sources(models, loading)
    check_family(sources)
    options = getattr(task_options, task).model_dump()
    left_out = split_words(load_tokenizer(sources["large"]), get_task(task, **options).words())
    get_task(task, **options | {"exclude_words": (*options["exclude_words"], *left_out)})  # enough are left
    record = {"task": task, "roles": family_record(sources), "words_left_out": left_out}
    return sources["small"], sources["medium"], sources["large"], record


def load_instruct_models(models: dict[str, Any], loading: dict[str, Any]) -> tuple:
    """Where the instruction-tuned small, medium and large are, downloaded and checked."""
    from circuit_distillation.models.family import family_sources

    sources = family_sources(models, loading)
    for source in sources.values():
        source.fetch()
    return sources["small"], sources["medium"], sources["large"]
