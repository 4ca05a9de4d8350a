"""Two experiments side by side: every arm under both, on the same test examples."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import pandas as pd

from circuit_distillation.arms import REFERENCES
from circuit_distillation.reporting.significance import SCOPES
from circuit_distillation.statistics.holm import holm
from circuit_distillation.statistics.intervals import difference_interval
from circuit_distillation.statistics.mcnemar import mcnemar_test

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
        a, b = (_ordered(predictions[students[name][student]]()) for name in (first, second))
        if a["example_id"].tolist() != b["example_id"].tolist():
            raise ValueError(f"{'/'.join(map(str, student))}: tested on other examples; predict both again")
        rows += [student._asdict() | _tested(a, b, scope) for scope in SCOPES]
    table = pd.DataFrame(rows)
    table.insert(len(KEY) + 1, "first", first)
    table.insert(len(KEY) + 2, "second", second)
    return table.assign(p_holm=holm(table["p"]))


def to_text(table: pd.DataFrame) -> str:
    """A few columns for a terminal."""
    first, second = table["first"].iloc[0], table["second"].iloc[0]
    shown = table[[*KEY, "scope"]].assign(
        **{
            first: table["first_accuracy"].map("{:.3f}".format),
            second: table["second_accuracy"].map("{:.3f}".format),
            "difference": table["difference"].map("{:+.3f}".format),
            "p": table["p"].map("{:.2g}".format),
            "p_holm": table["p_holm"].map("{:.2g}".format),
        }
    )
    return shown.to_string(index=False)


def _students(predictions: Stored, experiment: str) -> Iterator[tuple[Trained, str]]:
    """Trained students of an experiment, with their paths."""
    for path in predictions:
        match = _PATH.search(path)
        if match and match[3] == experiment and match[6] not in REFERENCES:
            yield Trained(match[2], int(match[1]), int(match[4] or 0), match[5], match[6]), path


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values("example_id", kind="stable", ignore_index=True)


def _tested(a: pd.DataFrame, b: pd.DataFrame, scope: str) -> dict[str, object]:
    right_a, right_b = a[f"{scope}_correct"], b[f"{scope}_correct"]
    test = mcnemar_test(right_a, right_b)
    gain = difference_interval(right_a, right_b, b["group_id"].tolist())
    return {
        "scope": scope,
        "first_accuracy": float(right_a.mean()),
        "second_accuracy": float(right_b.mean()),
        "difference": gain.estimate,
        "difference_low": gain.low,
        "difference_high": gain.high,
        "n01": test.n01,
        "n10": test.n10,
        "n": test.n,
        "p": test.p_value,
    }
