"""What MLflow is given of a student: tags and links to compare by, and the prompts it saw."""

from __future__ import annotations

from urllib.parse import unquote

import mlflow
import pandas as pd
import pytest

from circuit_distillation.pipelines.distillation.tracking import ACCURACIES, track_baseline, track_student

RUN = {"task": "entity", "seed": 1, "training_seed": 0}
PREDICTIONS = pd.DataFrame(
    {"example_id": ["a", "b"], "answer": "key", **dict.fromkeys(ACCURACIES, [True, False])}
)
HISTORY = pd.DataFrame(
    {"step": [1, 2], "ce": [1.0, 0.5], "seconds": [0.1, 0.2], "similarity": float("nan"), "loss": [1.0, 0.5]}
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, mlflow.entities.Run]:
    """Of two arms in one experiment, one of them in a second one too, and of a base."""
    before, root = mlflow.get_tracking_uri(), tmp_path_factory.mktemp("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{root / 'mlflow.db'}")
    try:
        mlflow.create_experiment("tests", artifact_location=(root / "artifacts").as_uri())
        mlflow.set_experiment("tests")
        student = {"predictions": PREDICTIONS, "history": HISTORY, "settings": {"epochs": 3}}
        made = {
            "ce": track_student("small", "circuit_ce", experiment="paper", **student, **RUN),
            "goat": track_student("small", "goat_circuit_ce", experiment="paper", **student, **RUN),
            "other": track_student("small", "circuit_ce", experiment="other", **student, **RUN),
            "base": track_baseline("small", "base", PREDICTIONS, experiment="paper", **RUN),
        }
        return {name: mlflow.get_run(run["run_id"]) for name, run in made.items()}
    finally:
        mlflow.set_tracking_uri(before)


def test_arms_and_experiments_share_a_tag_each(runs) -> None:
    arms, experiments = (
        {name: run.data.tags[tag] for name, run in runs.items()}
        for tag in ("compare_arms", "compare_experiments")
    )
    assert arms["ce"] == arms["goat"] == arms["base"] == "entity/seed1/paper/small" != arms["other"]
    assert experiments["ce"] == experiments["other"] == "entity/seed1/small.circuit_ce" != experiments["goat"]


def test_the_description_links_to_both_groups(runs) -> None:
    note = unquote(runs["ce"].data.tags["mlflow.note.content"])
    assert "#/experiments/1/runs?compareRunsMode=CHART" in note
    assert "&searchFilter=tags.compare_arms = 'entity/seed1/paper/small')" in note
    assert "&searchFilter=tags.compare_experiments = 'entity/seed1/small.circuit_ce')" in note


def test_prompts_are_logged_by_name(runs) -> None:
    named = {
        name: {(one.tags[0].value, one.dataset.name) for one in run.inputs.dataset_inputs}
        for name, run in runs.items()
    }
    assert named["ce"] == {("testing", "entity.seed1.test"), ("training", "entity.seed1.train")}
    assert named["goat"] == {("testing", "entity.seed1.test"), ("training", "entity.seed1.corpus")}
    assert named["base"] == {("testing", "entity.seed1.test")}
    [digest] = {one.dataset.digest for run in runs.values() for one in run.inputs.dataset_inputs
                if one.dataset.name.endswith("test")}  # fmt: skip
    assert len(digest) == 8
