"""Parameters of the data: sizes of splits, options of generators, the tuning corpus."""

from __future__ import annotations

from circuit_distillation.parameters.tasks import by_task
from circuit_distillation.ranges import Strict
from circuit_distillation.tasks import get_task
from circuit_distillation.tasks.corpora import CORPORA
from circuit_distillation.tasks.splits import SplitSizes
from circuit_distillation.tasks.task import TASKS, options_of


@by_task(others=SplitSizes)
class Groups(Strict):
    """Sizes of the splits of each task."""


@by_task(**{task: options_of(task) for task in TASKS})
class TaskOptions(Strict):
    """Options of each task."""


@by_task(**CORPORA)
class Corpora(Strict):
    """What the models of each task are tuned on."""


class DataGeneration(Strict):
    """Sizes of the splits and options of the generators."""

    groups: Groups
    task_options: TaskOptions
    corpus: Corpora

    def n_prompts(self, task: str, split: str) -> int:
        """Prompts of a split, such as one a box of each scene or four a story."""
        source = get_task(task, **getattr(self.task_options, task).model_dump())
        return source.prompts_a_group * getattr(getattr(self.groups, task), split)
