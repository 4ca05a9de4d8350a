"""Two experiments side by side: every arm under both, on the same test examples."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import pandas as pd

from circuit_distillation.arms import REFERENCES
from circuit_distillation.reporting.significance import SCOPES, paired_test, same_examples
from circuit_distillation.statistics.holm import holm

Stored = Mapping[str, Callable[[], pd.DataFrame]]  # path below the family's folder, without ending -> loader
_PATH = re.compile(r"seed(\d+)/([^/]+)/([^/.]+)(?:\.training(\d+))?/([^/.]+)\.([^/.]+)$")
KEY = ("task", "seed", "training_seed", "student", "arm")


class Trained(NamedTuple):
    """A student of one run; its fields are `KEY`."""

    task: str
    seed: int
    training_seed: int
    student: str
    arm: str


def compare(predictions: Stored, first: str, second: str) -> pd.DataFrame:
    """A row for each run, student, arm and scope (full model, circuit) that both experiments have.

    `n01` counts examples that only the second gets right, `n10` those that only the first does; `difference`
    is the accuracy of the second less that of the first, with a 95 % interval (bootstrap over scenes), `p` is
    McNemar's, `p_holm` is corrected over all rows. ValueError if one has no students, or both have none in
    common.
    """
    students = {name: dict(_students(predictions, name)) for name in (first, second)}
    for name, found in students.items():
        if not found:
            known = ", ".join(sorted({match[3] for path in predictions if (match := _PATH.search(path))}))
            raise ValueError(f"there are no predictions of experiment {name}: there are {known or 'none'}")
    shared = sorted(students[first].keys() & students[second].keys())
    if not shared:
        raise ValueError(f"{first} and {second} have no student in common: run both for one task and seed")
    rows = []
    for student in shared:
        paths = [students[name][student] for name in (first, second)]
        a, b = same_examples(*(predictions[path]() for path in paths), *paths)
        rows += [student._asdict() | _tested(a, b, scope) for scope in SCOPES]
    table = pd.DataFrame(rows)
    table.insert(len(KEY) + 1, "first", first)
    table.insert(len(KEY) + 2, "second", second)
    return table.assign(p_holm=holm(table["p"]))


def to_text(table: pd.DataFrame) -> str:
    """A few columns for a terminal."""
    first, second = table["first"].iloc[0], table["second"].iloc[0]
    forms = {"first_accuracy": "{:.3f}", "second_accuracy": "{:.3f}", "difference": "{:+.3f}"}
    forms |= {"p": "{:.2g}", "p_holm": "{:.2g}"}
    texts = {name: table[name].map(form.format) for name, form in forms.items()}
    shown = table[[*KEY, "scope"]].assign(**texts)
    shown = shown.rename(columns={"first_accuracy": first, "second_accuracy": second})
    return shown.to_string(index=False)


def _students(predictions: Stored, experiment: str) -> Iterator[tuple[Trained, str]]:
    """Trained students of an experiment, with their paths."""
    for path in predictions:
        match = _PATH.search(path)
        if match and match[3] == experiment and match[6] not in REFERENCES:
            yield Trained(match[2], int(match[1]), int(match[4] or 0), match[5], match[6]), path


def _tested(a: pd.DataFrame, b: pd.DataFrame, scope: str) -> dict[str, object]:
    accuracies = (float(frame[f"{scope}_correct"].mean()) for frame in (a, b))
    found = paired_test(a, b, scope)
    shown = ("difference", "difference_low", "difference_high", "n01", "n10", "n", "p")
    return {
        "scope": scope,
        **dict(zip(("first_accuracy", "second_accuracy"), accuracies, strict=True)),
        **{name: found[name] for name in shown},
    }
