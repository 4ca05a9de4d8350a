"""Find the base models of a family that is loaded, and the words its tokenizer can take."""

from __future__ import annotations

from circuit_distillation.models.settings import Loading
from circuit_distillation.parameters.data import TaskOptions
from circuit_distillation.parameters.models import InstructModels, Models
from circuit_distillation.tasks import get_task

PRUNING_GROUPS = 16  # scenes or stories on which it is chosen what a pruned student keeps


def load_base_models(
    models: Models, loading: Loading, task_options: TaskOptions, task: str, seed: int
) -> tuple:
    """Where the models of all roles are, downloaded and checked; the record of what they are; the ancestry of
    students that are pruned from the large one, which are made here.
    """
    from circuit_distillation.models import loaded_family
    from circuit_distillation.models.loaded_students import prune_students
    from circuit_distillation.models.source import ModelSource, PrunedModel
    from circuit_distillation.models.words import split_words

    sources = loaded_family.family_sources(models, loading)
    folders = loaded_family.check_family(sources)
    loaded_family.check_pruned_sizes(models, folders["large"])
    options = getattr(task_options, task).model_dump()
    tokenizer = loaded_family.load_tokenizer(sources["large"])
    left_out = split_words(tokenizer, get_task(task, **options).words())
    fitted = get_task(task, **options | {"exclude_words": (*options["exclude_words"], *left_out)})
    roles = loaded_family.family_record(sources)
    bases: dict[str, ModelSource | PrunedModel] = dict(sources)
    ancestry: dict[str, list] = {}
    if sizes := loaded_family.pruned_sizes(models):
        examples = fitted.generate(PRUNING_GROUPS, seed)
        students, ancestry = prune_students(sources["large"].load(), sizes, examples)
        for role, student in students.items():
            bases[role] = PrunedModel(student, sources[role])
            roles[role] |= loaded_family.model_size(student.model) | {"pruned_from": "large"}
    record = {"task": task, "roles": roles, "words_left_out": left_out}
    return *bases.values(), record, ancestry


def load_instruct_models(models: InstructModels, loading: Loading) -> tuple:
    """Where the instruction-tuned models of all roles are, downloaded and checked."""
    from circuit_distillation.models.loaded_family import instruct_sources

    sources = instruct_sources(models, loading)
    for source in sources.values():
        source.fetch()
    return tuple(sources.values())
