"""Select the result rows of a model in an experiment."""

from __future__ import annotations

import pandas as pd

from circuit_distillation.arms import REFERENCES
from circuit_distillation.grid import ROLES, TEACHER

# Arms that discovery or mapping does not touch, but whose "Circuit" is the students' mapped heads.
_MAPPED_CIRCUIT = ("base", "tuned", "instruct")
_OF_THE_CIRCUIT = r"circuit|faithfulness|random_"


def rows_of(results: pd.DataFrame, role: str, arm: str, experiment: str) -> pd.DataFrame:
    """Rows of one role and arm, a value a seed and metric; none where the arm was not run.

    Models above the mapping do not depend on the experiment: where it has no rows of its own, any other's are
    theirs, but for the metrics of a student's circuit, whose heads each experiment chooses.
    """
    rows = results[(results["model"] == role) & (results["arm"] == arm)]
    own = rows[rows["experiment"] == experiment]
    if not own.empty or arm not in REFERENCES:
        return own
    if role != TEACHER and arm in _MAPPED_CIRCUIT:
        rows = rows[~rows["metric"].str.contains(_OF_THE_CIRCUIT)]
    return rows.drop_duplicates(["seed", "metric"])


def models_of(results: pd.DataFrame) -> list[tuple[str, str]]:
    """Every (role, arm) that has rows: models that no arm trains first, then by role and arm."""
    pairs = set(results[["model", "arm"]].itertuples(index=False, name=None))
    return sorted(pairs, key=lambda pair: (pair[1] not in REFERENCES, ROLES.index(pair[0]), pair[1]))
