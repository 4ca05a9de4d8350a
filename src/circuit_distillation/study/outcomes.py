"""One table of outcomes: which model of which run was right on which example."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SCOPES = ("full", "circuit")
_PARTITION = re.compile(
    r"seed(\d+)/([a-z]+)/(?:([^/.]+)(?:\.training(\d+))?/)?([^/]+?)[._]([^/._]+(?:_[^/.]+)?)$"
)
_DRAWN = re.compile(r"(.+)\.t(\d+)")
_RANDOM = re.compile(r"random_\d+_correct")


@dataclass(frozen=True)
class Model:
    """A model that a run measured; `training_seed` is None where no training draw changes it."""

    task: str
    seed: int
    training_seed: int | None
    role: str
    arm: str

    def column(self, scope: str) -> str:
        """Where its outcomes stand."""
        draw = "" if self.training_seed is None else f".t{self.training_seed}"
        return f"{self.role}.{self.arm}.{scope}{draw}"


def outcome_table(predictions: Iterable[tuple[Model, pd.DataFrame]]) -> pd.DataFrame:
    """One row for each test example of each task and seed: scene, cell, answer, a column a model and scope.

    Columns hold whether the answer was right; "random" is the share of a model's random circuits that are
    right. ValueError if two models of a task and seed were tested on different examples.
    """
    parts: dict[tuple[str, int], dict[str, pd.Series]] = {}
    examples: dict[tuple[str, int], pd.DataFrame] = {}
    for model, frame in predictions:
        run = (model.task, model.seed)
        ordered = frame.sort_values("example_id", kind="stable", ignore_index=True)
        shown = ordered[["example_id", "group_id", "cell", "answer"]]
        if not shown.equals(examples.setdefault(run, shown)):
            raise ValueError(f"{model.column('full')} of {run} was tested on other examples; predict again")
        parts.setdefault(run, {}).update(_columns(model, ordered))
    tables = []
    for (task, seed), columns in sorted(parts.items()):
        shown = examples[task, seed]
        scene = pd.factorize(shown["group_id"])[0].astype(np.int32)
        own = {"task": task, "seed": seed, "scene": scene, "cell": shown["cell"], "answer": shown["answer"]}
        tables.append(pd.DataFrame(own | columns))
    if not tables:
        raise ValueError("there are no predictions to study: make them with `make study`")
    return pd.concat(tables, ignore_index=True)


def _columns(model: Model, frame: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    for scope in SCOPES:
        if f"{scope}_correct" in frame:
            yield model.column(scope), frame[f"{scope}_correct"].astype("boolean")
    random = [name for name in frame if _RANDOM.fullmatch(name)]
    if random:
        yield model.column("random"), frame[random].astype(np.float32).mean(axis=1)


class Outcomes:
    """Reads an outcome table by model."""

    def __init__(self, table: pd.DataFrame) -> None:
        self._parts: Mapping[tuple[str, int], pd.DataFrame] = {
            (str(task), int(seed)): part for (task, seed), part in table.groupby(["task", "seed"])
        }
        self._drawn = {run: _drawn(part) for run, part in self._parts.items()}

    def tasks(self) -> list[str]:
        """Tasks with runs."""
        return sorted({task for task, _ in self._parts})

    def seeds(self, task: str) -> list[int]:
        """Families of a task with at least one whole run."""
        return sorted(seed for name, seed in self._parts if name == task and self.training_seeds(task, seed))

    def training_seeds(self, task: str, seed: int) -> list[int]:
        """Training seeds of a family that have all that any run of the task has; others are under way."""
        wanted = {name for (own, _), names in self._drawn.items() if own == task for _, name in names}
        found: dict[int, set[str]] = {}
        for draw, name in self._drawn[task, seed]:
            found.setdefault(draw, set()).add(name)
        return sorted(draw for draw, names in found.items() if names == wanted)

    def right(self, model: Model, scope: str) -> NDArray[np.float64]:
        """Outcomes [example], 0 or 1 (a share for "random"); KeyError if the study lacks them."""
        part = self._parts[model.task, model.seed]
        for name in (
            model.column(scope),
            Model(model.task, model.seed, None, model.role, model.arm).column(scope),
        ):
            if name in part and part[name].notna().all():
                return part[name].to_numpy(np.float64)
        raise KeyError(f"{model.column(scope)} of task {model.task}, seed {model.seed}")

    def constant_answer(self, task: str, seed: int) -> NDArray[np.float64]:
        """Whether the most frequent answer is right, [example]: a trivial baseline."""
        answers = self._parts[task, seed]["answer"]
        return (answers == answers.value_counts().index[0]).to_numpy(np.float64)

    def scenes(self, task: str, seed: int) -> NDArray[np.int64]:
        """Scene of each example."""
        return self._parts[task, seed]["scene"].to_numpy(np.int64)


def _drawn(part: pd.DataFrame) -> list[tuple[int, str]]:
    """(training seed, role.arm.scope) of every column with outcomes that a training draw changes."""
    found = (_DRAWN.fullmatch(name) for name in part.dropna(axis=1, how="all"))
    return [(int(match[2]), match[1]) for match in found if match]


def parse_partition(name: str, experiment: str) -> Model | None:
    """The model of a stored file, from its path below the family's folder without its ending.

    "seed0/tom/paper.training1/small.circuit_ce" or, for what no experiment changes, "seed0/tom/large.tuned".
    None for files of other experiments and of other pipelines.
    """
    match = _PARTITION.fullmatch(name)
    if match is None or match[3] not in (None, experiment):
        return None
    seed, task, folder, training_seed, role, arm = match.groups()
    draws = folder is not None and arm not in ("base", "tuned", "tuned_corpus", "instruct")
    return Model(task, int(seed), int(training_seed or 0) if draws else None, role, arm)
