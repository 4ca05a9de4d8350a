"""Find the base models of a family that is loaded, and the words its tokenizer can take."""

from __future__ import annotations

from circuit_distillation.models.settings import Loading
from circuit_distillation.parameters.data import TaskOptions
from circuit_distillation.parameters.models import Models
from circuit_distillation.tasks import get_task


def load_base_models(models: Models, loading: Loading, task_options: TaskOptions, task: str) -> tuple:
    """Where small, medium and large are, downloaded and checked, and the record of what they are."""
    from circuit_distillation.models import loaded_family
    from circuit_distillation.models.words import split_words

    sources = loaded_family.family_sources(models, loading)
    loaded_family.check_family(sources)
    options = getattr(task_options, task).model_dump()
    tokenizer = loaded_family.load_tokenizer(sources["large"])
    left_out = split_words(tokenizer, get_task(task, **options).words())
    get_task(task, **options | {"exclude_words": (*options["exclude_words"], *left_out)})  # enough are left
    record = {"task": task, "roles": loaded_family.family_record(sources), "words_left_out": left_out}
    return *sources.values(), record


def load_instruct_models(models: Models, loading: Loading) -> tuple:
    """Where the instruction-tuned small, medium and large are, downloaded and checked."""
    from circuit_distillation.models.loaded_family import family_sources

    sources = family_sources(models, loading)
    for source in sources.values():
        source.fetch()
    return tuple(sources.values())
