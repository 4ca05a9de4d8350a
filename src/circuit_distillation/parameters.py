"""Typed parameters: every key of `conf/*/parameters*.yml` and `--params`, with its range and choices.

An unknown key, a wrong type or a value out of range is one line that names the key and the nearest right name.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Fraction = Field(gt=0, le=1)
Count = Field(ge=1)


class ParameterError(ValueError):
    """A parameter that is unknown, mistyped or out of range."""


class Strict(BaseModel):
    """No unknown keys, no changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Role(Strict):
    """A model of the family: its role and its name in tables."""

    name: Literal["small", "medium", "large"]
    label: str


class Family(Strict):
    """Which models play the roles, and their names in tables."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    roles: dict[Literal["small", "medium", "large"], Role]
    scaffolded: bool


class Corpus(Strict):
    """Size of the tuning corpus."""

    n_train: int = Count
    n_heldout: int = Count
    max_digits: int = Field(ge=1, le=16)
    kinds: tuple[str, ...] | None


class DataGeneration(Strict):
    """Sizes of the splits and options of the generators."""

    groups: dict[Literal["entity", "tom"], dict[str, int]]
    task_options: dict[Literal["entity", "tom"], dict[str, Any]]
    corpus: dict[Literal["entity", "tom"], Corpus]


class Stage(Strict):
    """One backward stage of path patching; fields as in `circuits.discovery.Stage`."""

    name: str
    sender: str
    receivers: tuple[str, ...] = ()
    receiver_input: Literal["q", "k", "v"] | None = None
    n_heads: int = Count
    min_drop: float = Field(ge=0)
    z: float = Field(ge=0)


class Minimality(Strict):
    """Pruning of the found heads."""

    threshold: float = Field(ge=0, lt=1)


class PathPatching(Strict):
    """Circuit discovery for entity tracking."""

    method: Literal["path_patching"]
    n_examples: int = Count
    score: Literal["probability", "log_prob"]
    kv_scope: Literal["per_query_head", "group"]
    stages: tuple[Stage, ...]
    minimality: Minimality


class MeanAblation(Strict):
    """Circuit discovery for theory of mind."""

    method: Literal["mean_ablation"]
    n_examples: int = Count
    fraction: float = Fraction


class CircuitDiscovery(Strict):
    """How the circuit of each task is found."""

    entity: PathPatching
    tom: MeanAblation


class Evaluation(Strict):
    """How circuits are measured."""

    n_random_circuits: int = Field(ge=1, le=1000)
    n_random_circuits_row: int = Field(ge=1, le=1000)


class HeadMapping(Strict):
    """Equations 3 to 5."""

    student_form: Literal["difference", "ratio"]
    baseline: Literal["student", "teacher"]
    performance: Literal["logprob", "accuracy", "logit_diff"]
    rule: Literal["nearest", "one_to_one", "profile", "cka", "random"]
    student_heads: Literal["top_impact", "discovered"]
    fraction: dict[Literal["entity", "tom"], float]
    random_from: Literal["circuit", "any_head"]




class Distillation(Strict):
    """Equations 6 and 7, and the optimiser; fields as in `training.distillation_settings`."""

    n_train: int = Count
    epochs: int = Count
    batch_size: int = Field(ge=2)
    bank_batches: int = Count
    learning_rate_heads: float = Field(gt=0)
    learning_rate_full: float = Field(gt=0)
    schedule: str
    warmup_steps: int = Field(ge=0)
    weight_decay: float = Field(ge=0)
    clip_norm: float = Field(gt=0)
    weights: Literal["qkvo", "qo"]
    labels: Literal["hard", "soft", "gold"]
    rows: str
    similarity: Literal["cka", "procrustes"]
    estimator: Literal["biased", "unbiased"]
    cka_weight: float = Field(ge=0)
    pair_reduction: Literal["sum", "mean"]
    precision: Literal["fp32", "bf16"]
    evaluate_every: int = Count
    patience: int | None = Field(ge=1)
    extra_arms: tuple[Literal["full_kl", "layer_cka", "random_heads_ce_align_cka"], ...]


class Parameters(Strict):
    """Everything that a run is told."""

    task: Literal["entity", "tom"]
    seed: int = Field(ge=0)
    experiment: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    data_root: str
    family: Family
    pretraining: dict[str, Any]
    data_generation: DataGeneration
    teacher_tuning: dict[str, Any]
    circuit_discovery: CircuitDiscovery
    evaluation: Evaluation
    head_mapping: HeadMapping
    distillation: Distillation
    arms: dict[str, str]


def plain(block: Any) -> Any:
    """A block of parameters as plain data, whether or not it has been made a model."""
    return block.model_dump() if isinstance(block, BaseModel) else block


def validate(raw: dict[str, Any]) -> Parameters:
    """Check the merged parameters; raises `ParameterError` with one line about the first fault."""
    try:
        return Parameters.model_validate(raw)
    except ValidationError as error:
        faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")  # a typo explains most
        raise ParameterError(_explain(faults[0])) from None


def check_known(given: dict[str, Any], known: dict[str, Any], path: str = "") -> None:
    """Every key given at runtime must be one that the files of `conf` have; `ParameterError` names the nearest."""
    for key, value in given.items():
        if key not in known:
            near = get_close_matches(str(key), list(known), n=1, cutoff=0.5)
            hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(map(str, known))}"
            raise ParameterError(f"unknown parameter `{path}{key}`: {hint}")
        if isinstance(value, dict) and isinstance(known[key], dict):
            check_known(value, known[key], f"{path}{key}.")


def _explain(fault: dict[str, Any]) -> str:
    """One line: the key, what is wrong with it, and the nearest right name or the allowed values."""
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        near = get_close_matches(str(fault["loc"][-1]), _siblings(fault["loc"]), n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(_siblings(fault['loc']))}"
        return f"unknown parameter `{path}`: {hint}"
    if fault["type"] == "missing":
        return f"parameter `{path}` is missing: set it in conf/ or with --params {path}=VALUE"
    return f"parameter `{path}` = {fault['input']!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _siblings(location: tuple[Any, ...]) -> list[str]:
    """Names that are allowed where an unknown one was found."""
    model: Any = Parameters
    for part in location[:-1]:
        annotation = getattr(model, "model_fields", {}).get(part)
        model = annotation.annotation if annotation is not None else None
    return list(getattr(model, "model_fields", {}))
