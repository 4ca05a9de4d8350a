"""Checks of stored artifacts, made on every save and load (named in conf/base/catalog.yml)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from circuit_distillation.heads import Head
from circuit_distillation.tasks.example import Example


def examples(prompts: list[Example]) -> None:
    """Prompts of a split: each once, its answer among its candidates."""
    if not prompts:
        raise ValueError("there are no examples")
    names = [example.example_id for example in prompts]
    if len(set(names)) < len(names):
        raise ValueError(f"example {next(name for name in names if names.count(name) > 1)} is there twice")
    strays = [example.example_id for example in prompts if example.answer not in example.candidates]
    if strays:
        raise ValueError(f"the answer of example {strays[0]} is not among its candidates")


def corpus(frame: pd.DataFrame) -> None:
    """Items of a tuning corpus: a prompt and a response each."""
    _columns(frame, "kind", "prompt", "response")
    for column in ("prompt", "response"):
        if (frame[column].str.len() == 0).any():
            raise ValueError(f"row {int((frame[column].str.len() == 0).argmax())} has an empty {column}")


def head_scores(frame: pd.DataFrame) -> None:
    """A finite score for every head of a model in every stage."""
    _columns(frame, "layer", "head", "stage", "score", "stderr")
    _whole_grid(frame, ["stage"])
    _finite(frame, "score")


def prompt_scores(frame: pd.DataFrame) -> None:
    """A finite score for every head of a model in every stage, on every prompt."""
    _columns(frame, "stage", "layer", "head", "example_id", "group_id", "template", "score")
    _whole_grid(frame, ["stage", "example_id"])
    _finite(frame, "score")


def stability(frame: pd.DataFrame) -> None:
    """Shares for every head of a model in every stage, and in any."""
    _columns(frame, "stage", "layer", "head", "chosen", "in_circuit", "redraws", "limits", "templates")
    _whole_grid(frame, ["stage"])
    for name in ("redraws", "limits", "templates"):
        if not frame[name].dropna().between(0, 1).all():
            raise ValueError(f"{name} holds values that are no shares")


def ablation_effects(frame: pd.DataFrame) -> None:
    """Finite effects of every head, and of none (layer -1), on every example; no log-probability above 0."""
    _columns(frame, "layer", "head", "example_id", "group_id", "log_prob", "correct")
    _whole_grid(frame[frame["layer"] >= 0], ["example_id"])
    _finite(frame, "log_prob")
    if (frame["log_prob"] > 1e-6).any():
        raise ValueError(f"log_prob reaches {frame['log_prob'].max():.3g}, which is no log-probability")


def head_features(frame: pd.DataFrame) -> None:
    """The output of every head on every example: vectors of one length."""
    _columns(frame, "layer", "head", "example_id", "z")
    _whole_grid(frame, ["example_id"])
    lengths = {len(z) for z in frame["z"]}
    if len(lengths) > 1:
        raise ValueError(f"head outputs have {len(lengths)} different lengths")
    if not np.isfinite(np.concatenate(frame["z"].to_list())).all():
        raise ValueError("head outputs are not all finite")


def attention_profiles(tensors: dict[str, Any]) -> None:
    """Mean attention rows of every head for each template: distributions over tokens."""
    if not tensors:
        raise ValueError("there are no layouts")
    for template, rows in tensors.items():
        if rows.ndim != 4 or rows.shape[2] != rows.shape[3]:
            raise ValueError(f"{template} is of shape {tuple(rows.shape)}, not [layer, head, token, token]")
        if not bool(((rows.sum(-1) - 1).abs() < 1e-3).all() and (rows >= 0).all()):
            raise ValueError(f"the rows of {template} are not distributions over tokens")


def circuit(record: dict[str, Any]) -> None:
    """A circuit: heads of the model, each once; those of the stages among them."""
    _keys(record, "heads", "stages", "n_heads_total", "model_hash", "role")
    heads = _heads(record["heads"], "heads")
    if len(heads) > record["n_heads_total"]:
        raise ValueError(f"the circuit has {len(heads)} heads, the model {record['n_heads_total']}")
    for stage, found in record["stages"].items():
        strays = sorted(set(_heads(found, f"stage {stage}")) - set(heads))
        if strays:
            raise ValueError(f"head {strays[0]} of stage {stage} is not in the circuit")


def heads(record: dict[str, Any]) -> None:
    """The relevant heads of a student, each once, and the model they are of."""
    _keys(record, "role", "student_heads", "n_student_heads_total", "model_hash")
    _heads(record["student_heads"], "student_heads")


def pairs(record: dict[str, Any]) -> None:
    """Pairs of a student head and a teacher head, and the models they are of."""
    _keys(record, "role", "pairs", "hashes")
    for side in ("student", "teacher"):
        _heads([pair[side] for pair in record["pairs"]], f"{side} heads of pairs", once=False)
    _both_models(record)


def mapping(record: dict[str, Any]) -> None:
    """A mapping: pairs of relevant student heads, correct counts, and the hashes of both models."""
    _keys(record, "role", "student_heads", "pairs", "random_pairs", "n_pairs")
    _keys(record, "distinct_teacher_heads", "hashes")
    trained = _heads(record["student_heads"], "student_heads")
    for kind in ("pairs", "random_pairs"):
        strays = [pair["student"] for pair in record[kind] if tuple(pair["student"]) not in trained]
        if strays:
            raise ValueError(f"{kind} hold student head {strays[0]}, which is not among the student_heads")
        _heads([pair["teacher"] for pair in record[kind]], f"teacher heads of {kind}", once=False)
    distinct = len({tuple(pair["teacher"]) for pair in record["pairs"]})
    said, true = (record["n_pairs"], record["distinct_teacher_heads"]), (len(record["pairs"]), distinct)
    if said != true:
        raise ValueError(
            f"n_pairs and distinct_teacher_heads are {said[0]} and {said[1]}, "
            f"the pairs say {true[0]} and {true[1]}"
        )
    _both_models(record)


def rule_scores(frame: pd.DataFrame) -> None:
    """A row for each matching rule; shares lie between 0 and 1 or are unknown."""
    _columns(frame, "rule", "label", "n_heads", "n_pairs")
    _unique(frame, "rule")
    for name in ("ancestor_share", "chance_ancestor", "stage_share", "chance_stage"):
        _columns(frame, name)
        if not frame[name].dropna().between(0, 1).all():
            raise ValueError(f"{name} holds values that are no shares")


def history(frame: pd.DataFrame) -> None:
    """A training history: increasing steps, every loss finite."""
    _columns(frame, "step", "loss", "seconds")
    if not (frame["step"].diff().dropna() > 0).all():
        raise ValueError("the steps of the history do not increase")
    _finite(frame, "loss")


def predictions(frame: pd.DataFrame) -> None:
    """Predictions on a split: every example once; right or wrong for each part of the model."""
    _columns(frame, "example_id", "group_id", "cell", "answer", "full_predicted", "full_correct")
    _unique(frame, "example_id")
    for column in [name for name in frame if name.endswith("_correct")]:
        if frame[column].dtype != bool:
            raise ValueError(f"{column} must be true or false, it is {frame[column].dtype}")


def _columns(frame: pd.DataFrame, *names: str) -> None:
    missing = [name for name in names if name not in frame]
    if missing:
        raise ValueError(f"column {', '.join(missing)} is missing")
    if frame.empty:
        raise ValueError("there are no rows")


def _keys(record: dict[str, Any], *names: str) -> None:
    if not isinstance(record, dict):
        raise ValueError(f"this is no record but a {type(record).__name__}")
    missing = [name for name in names if name not in record]
    if missing:
        raise ValueError(f"entry {', '.join(missing)} is missing")


def _both_models(record: dict[str, Any]) -> None:
    if not {"student", "teacher"} <= set(record["hashes"]):
        raise ValueError("hashes must name the student's and the teacher's model")


def _unique(frame: pd.DataFrame, *names: str) -> None:
    doubled = frame.duplicated(list(names))
    if doubled.any():
        raise ValueError(f"row {int(doubled.argmax())} repeats {', '.join(names)} of an earlier row")


def _finite(frame: pd.DataFrame, name: str) -> None:
    wrong = ~np.isfinite(frame[name].to_numpy(float))
    if wrong.any():
        raise ValueError(f"{name} of row {int(wrong.argmax())} is not finite")


def _whole_grid(frame: pd.DataFrame, others: list[str]) -> None:
    """Every head of every layer once for each value of the other keys."""
    _unique(frame, "layer", "head", *others)
    low = int(frame[["layer", "head"]].to_numpy().min())
    shape = frame["layer"].max() + 1, frame["head"].max() + 1
    wanted = int(np.prod(shape)) * len(frame[others].drop_duplicates())
    if low < 0 or len(frame) != wanted:
        raise ValueError(f"there are {len(frame)} rows, {shape[0]} layers of {shape[1]} heads need {wanted}")


def _heads(entries: list[Any], what: str, once: bool = True) -> list[Head]:
    for entry in entries:
        sound = isinstance(entry, (list, tuple)) and len(entry) == 2
        if not sound or not all(isinstance(number, int) and number >= 0 for number in entry):
            raise ValueError(f"{what} hold {entry!r}, which is no (layer, head)")
    heads = [(entry[0], entry[1]) for entry in entries]
    if once and len(set(heads)) < len(heads):
        raise ValueError(f"{what} name a head twice")
    return heads
