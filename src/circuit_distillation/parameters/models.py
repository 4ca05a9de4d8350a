"""The family of models, and how its models are trained or loaded, tuned, planned for and tested."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from circuit_distillation.models.family_model import FamilyModel
from circuit_distillation.models.mini_sizes import MINI_SIZES
from circuit_distillation.models.settings import Loading
from circuit_distillation.parameters.tasks import by_task
from circuit_distillation.ranges import (
    Count,
    CountOrZero,
    Flag,
    Label,
    Name,
    OfRoles,
    Positive,
    Processes,
    Strict,
)
from circuit_distillation.storage.sources import Files
from circuit_distillation.training.finetuning_settings import (
    CorpusPasses,
    FineTuneSettings,
    Method,
    TuningSettings,
)
from circuit_distillation.training.recipe_settings import (
    BeliefPretraining,
    BeliefTuning,
    EntityPretraining,
    EntityTuning,
    PromptPretraining,
    PromptTuning,
)


class Models(OfRoles[FamilyModel]):
    """The models of a loaded family, each with files of its own or pruned from the large one."""

    @model_validator(mode="after")
    def _large_has_files(self) -> Models:
        if self.large.pruned_from:
            raise ValueError("`large.pruned_from` must be null: the large model is the one that is pruned")
        return self


InstructModels = OfRoles[Files]


class Role(Strict):
    """A model of the family: its role and its name in tables."""

    name: Literal["tiny", "small", "medium", "big", "large"]
    label: Label


class Roles(OfRoles[Role]):
    """The models of a family: one to four students, and `large`, the teacher. Null: no such model."""

    @model_validator(mode="after")
    def _named_as_their_keys(self) -> Roles:
        for key, role in self:
            if role.name != key:
                raise ValueError(f"`{key}.name` must be `{key}`, the name of its role")
        labels = [role.label for _, role in self]
        if len(set(labels)) < len(labels):
            raise ValueError(f"the labels {', '.join(labels)} must differ, to tell the roles apart")
        if not self.students():
            raise ValueError("the family has no student: give a label to `small`, or to another role")
        return self

    def students(self) -> tuple[str, ...]:
        """Roles of the students."""
        return tuple(role for role, _ in self if role != "large")


class ModelFamily(Strict):
    """Which models play the roles, and their names in tables. Without `models` they are trained here."""

    name: Name
    roles: Roles
    scaffolded: Flag
    models: Models | None = None
    instruct: InstructModels | None = None
    loading: Loading | None = None

    @model_validator(mode="after")
    def _loading_with_models(self) -> ModelFamily:
        if (self.models is None) != (self.loading is None):
            raise ValueError("a loaded family has both `models` and `loading`, the mini family neither")
        if self.models is None and self.instruct is not None:
            raise ValueError("`instruct` names models to load: only a loaded family has them")
        return self

    @model_validator(mode="after")
    def _a_model_for_each_role(self) -> ModelFamily:
        roles = {role for role, _ in self.roles}
        if self.models is None and (unknown := roles - set(MINI_SIZES)):
            raise ValueError(
                f"the mini family has no recipe for `roles.{min(unknown)}`: its students are small and medium"
            )
        for block in ("models", "instruct"):
            given = {role for role, _ in getattr(self, block) or ()}
            if given and (missing := roles - given):
                raise ValueError(
                    f"`{block}.{min(missing)}` is missing: `roles` has it; name a model or set both to null"
                )
            if idle := given - roles:
                raise ValueError(f"`{block}.{min(idle)}` has no role: add it to `roles`, or set it to null")
        return self


@by_task(entity=EntityPretraining, tom=BeliefPretraining, others=PromptPretraining)
class Pretraining(Strict):
    """The bases of the mini family: students `pruned` from the large one, or all three trained apart from
    scratch, `independent`, side by side in `max_workers` processes.
    """

    students: Literal["pruned", "independent"]
    max_workers: Count


@by_task(entity=EntityTuning, tom=BeliefTuning, others=PromptTuning)
class TeacherTuning(Strict):
    """The tuned models of the mini family, side by side in `max_workers` processes."""

    max_workers: Count


@by_task(others=CorpusPasses)
class FineTuning(TuningSettings):
    """How loaded models are tuned on the corpus of a task."""

    method: OfRoles[Method]
    processes: Processes
    sharded: Flag

    def of_model(self, task: str, role: str, seed: int = 0) -> FineTuneSettings:
        """All settings of one model."""
        shared = {name: getattr(self, name) for name in TuningSettings.model_fields}
        of_task = dict(getattr(self, task))
        return FineTuneSettings(method=self.method.of(role), seed=seed, **shared, **of_task)

    @model_validator(mode="after")
    def _shared_with_somebody(self) -> FineTuning:
        if self.sharded and self.processes == 1:
            raise ValueError("`sharded` spreads a model over processes: set `processes` to 2 or more")
        return self


class HeldOut(Strict):
    """Questions of other forms, for evaluation alone: generated scenes, and files of other authors."""

    scenes: CountOrZero
    max_operations: Annotated[int, Field(strict=True, ge=0, le=50)]
    bigtom: str | None
    tomi: str | None
    hitom: str | None


class Machine(Strict):
    """What the plan has to fit into."""

    gpu_memory_gb: Positive
    n_gpus: Count
    utilisation: Annotated[float, Field(strict=True, gt=0, le=1)]
