"""All parameters of a run, checked block by block and across blocks."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from circuit_distillation.arms import ARMS
from circuit_distillation.circuits.settings import Evaluation
from circuit_distillation.grid import TEACHER
from circuit_distillation.parameters.circuits import CircuitDiscovery
from circuit_distillation.parameters.data import DataGeneration
from circuit_distillation.parameters.distillation import Distillation, HeadMapping
from circuit_distillation.parameters.looks import HeadViewer, Publishing, StudentName
from circuit_distillation.parameters.models import (
    FineTuning,
    HeldOut,
    Machine,
    ModelFamily,
    Pretraining,
    TeacherTuning,
)
from circuit_distillation.parameters.regimes import Regimes
from circuit_distillation.parameters.study import ChosenSettings, Search, Sweeps
from circuit_distillation.parameters.tasks import TaskName
from circuit_distillation.ranges import CountOrZero, Name, Processes, Strict

DataRoot = Annotated[
    str,
    Field(
        pattern=r"^[\w./@+~ -]*[\w@+-]/?$",
        description="a folder, of letters, digits, spaces and `_./@+-`",
    ),
]

TwoNames = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][\w-]{0,63}\+[A-Za-z0-9][\w-]{0,63}$",
        description="two names of experiments joined by +, such as paper+lambda05",
    ),
]


class Parameters(Strict):
    """Everything that a run is given."""

    task: TaskName
    seed: Annotated[int, Field(strict=True, ge=0, le=10**9)]
    experiment: Name
    experiments: TwoNames | None
    student: StudentName | None
    heads: HeadViewer
    bundle: Publishing
    data_root: DataRoot
    processes: Processes
    family: ModelFamily
    pretraining: Pretraining | None
    data_generation: DataGeneration
    teacher_tuning: TeacherTuning | None
    finetuning: FineTuning | None = None
    machine: Machine | None = None
    held_out: HeldOut | None = None
    circuit_discovery: CircuitDiscovery
    evaluation: Evaluation
    head_mapping: HeadMapping
    distillation: Distillation
    training_seed: CountOrZero
    search: Search
    chosen: ChosenSettings
    sweeps: Sweeps
    regimes: Regimes

    @field_validator("data_root")
    @classmethod
    def _one_folder(cls, value: str) -> str:
        if ".." in value.split("/") or value.startswith("~"):
            raise ValueError(f"{value!r} leads elsewhere: write the folder without `..` and `~`")
        return value

    @model_validator(mode="after")
    def _known_student(self) -> Parameters:
        role, _, arm = (self.student or "").partition(".")
        students = [name for name in dict(self.family.roles) if name != TEACHER]
        if role and role not in students:
            raise ValueError(f"`student` = {self.student!r}: there are {', '.join(students)}")
        if arm and arm not in ARMS:
            near = get_close_matches(arm, ARMS, n=1) or list(ARMS)
            raise ValueError(
                f"`student` = {self.student!r}: there is no arm {arm}, there is {', '.join(near)}"
            )
        return self

    @model_validator(mode="after")
    def _one_way_to_models(self) -> Parameters:
        """Base models are trained from scratch, or loaded; each way has its own blocks."""
        of_scratch = {"pretraining": self.pretraining, "teacher_tuning": self.teacher_tuning}
        of_loaded = {"finetuning": self.finetuning, "machine": self.machine, "held_out": self.held_out}
        wanted, idle = (of_scratch, of_loaded) if self.family.models is None else (of_loaded, of_scratch)
        for name, block in wanted.items():
            if block is None:
                raise ValueError(f"`{name}` is missing: the family {self.family.name} needs it")
        roles = [role for role, _ in self.family.roles]
        if self.finetuning and (missing := [role for role in roles if not self.finetuning.method.of(role)]):
            raise ValueError(
                f"`finetuning.method.{missing[0]}` is missing: the family has the role {missing[0]}"
            )
        for name, block in idle.items():
            if block is not None:
                raise ValueError(f"`{name}` has no use for the family {self.family.name}: leave it out")
        return self

    @model_validator(mode="after")
    def _task_has_its_blocks(self) -> Parameters:
        """Blocks that have an entry for each task must have one for this."""
        data = self.data_generation
        blocks = {
            "data_generation.groups": data.groups,
            "data_generation.task_options": data.task_options,
            "data_generation.corpus": data.corpus,
            "pretraining": self.pretraining,
            "teacher_tuning": self.teacher_tuning,
            "finetuning": self.finetuning,
            "circuit_discovery": self.circuit_discovery,
            "head_mapping.fraction": self.head_mapping.fraction,
        }
        for name, block in blocks.items():
            if block is not None and getattr(block, self.task) is None:
                raise ValueError(f"`{name}.{self.task}` is missing: the task {self.task} needs it")
        return self

    @model_validator(mode="after")
    def _blocks_fit(self) -> Parameters:
        """Only the task of this run is judged: an override may be meant for one task alone."""
        self._enough("distillation.n_train", self.distillation.n_train, "train")
        self._enough_draws("training_seed", self.training_seed)
        discovery = getattr(self.circuit_discovery, self.task)
        self._enough(f"circuit_discovery.{self.task}.n_examples", discovery.n_examples, "discovery")
        if self.distillation.rows == "answer" and self.task != "entity":
            raise ValueError("`distillation.rows` = 'answer': stories copy no answer; use last or all")
        return self

    def check_search(self) -> None:
        """ValueError if the training split ends before the draw of the search; others need none."""
        self._enough_draws("search.training_seed", self.search.training_seed)

    def check_arm(self) -> None:
        """ValueError if no student with its arm is named."""
        if self.student is None or "." not in self.student:
            raise ValueError(
                "`student` names no student with its arm: --params student=small.circuit_ce_align_cka"
            )

    def check_experiments(self) -> None:
        """ValueError if there are no two experiments to compare."""
        if self.experiments is None:
            raise ValueError("`experiments` is not given: name two, --params experiments=paper+lambda05")

    def _enough_draws(self, name: str, draw: int) -> None:
        n_train, there = self.distillation.n_train, self.data_generation.n_prompts(self.task, "train")
        if (draw + 1) * n_train > there:
            raise ValueError(
                f"`{name}` = {draw}: each takes {n_train} prompts of its own, the train split has {there}; "
                f"lower it or raise `data_generation.groups.{self.task}.train`"
            )

    def _enough(self, name: str, wanted: int, split: str) -> None:
        there = self.data_generation.n_prompts(self.task, split)
        if wanted > there:
            raise ValueError(
                f"`{name}` = {wanted}: the {split} split has {there} prompts; lower it or raise "
                f"`data_generation.groups.{self.task}.{split}`"
            )
