from __future__ import annotations

import pandas as pd
import pytest
from synthetic import LABELS, predictions

from circuit_distillation.reporting.cells import CELL_METRICS, cell_rows, trivial_baselines
from circuit_distillation.reporting.results import result_rows

KEY = dict(task="tom", seed=0, experiment="paper", model="small")


def test_each_model_has_its_cells() -> None:
    base, arm = predictions("tom", seed=1), predictions("tom", seed=2)
    rows = [result_rows(base, **KEY, arm="base"), result_rows(arm, **KEY, arm="circuit_ce")]
    rows.append(result_rows(predictions("tom"), **{**KEY, "experiment": "other"}, arm="circuit_align_cka"))
    rows.append(result_rows(predictions(), **{**KEY, "task": "entity"}, arm="base"))
    first, second = cell_rows(pd.concat(rows), LABELS, "paper")
    assert first["name"].model == "Base-Tiny-S" and second["name"].loss == "CE"
    own = arm.loc[arm["cell"] == "own", "circuit_correct"].mean()
    assert list(CELL_METRICS) == ["Own", "Seen", "Unseen", "Balanced", "Invalid answers"]
    assert second["circuit"][0] == pytest.approx(own)
    assert second["full"][3] == pytest.approx(arm.groupby("cell")["full_correct"].mean().mean())
    assert second["full"][4] is None  # no candidates were given


def test_each_experiment_has_its_own_circuit_of_a_base_model() -> None:
    ours, theirs = predictions("tom", 0.9, seed=1), predictions("tom", 0.4, seed=2)
    theirs["full_correct"] = ours["full_correct"]
    runs = ((ours, "paper"), (theirs, "other"))
    rows = [result_rows(frame, **{**KEY, "experiment": name}, arm="base") for frame, name in runs]
    for frame, experiment in runs:
        (row,) = cell_rows(pd.concat(rows), LABELS, experiment)
        circuit = frame[frame["cell"] == "own"]["circuit_correct"].mean()
        assert row["circuit"][0] == pytest.approx(circuit)
    (row,) = cell_rows(pd.concat(rows), LABELS, "third")  # it has no base of its own yet
    assert row["full"][0] == pytest.approx(ours[ours["cell"] == "own"]["full_correct"].mean())
    assert row["circuit"] == [None] * len(CELL_METRICS)


def test_trivial_baselines_of_both_tasks() -> None:
    rows = [result_rows(predictions(task), **{**KEY, "task": task}, arm="base") for task in ("entity", "tom")]
    found = {(row["task"], row["name"].split()[0]): row for row in trivial_baselines(pd.concat(rows))}
    assert set(found) == {("entity", "Always"), ("tom", "Always"), ("tom", "Read")}
    assert found["tom", "Read"]["balanced"] == pytest.approx(2 / 3)
    assert found["entity", "Always"]["balanced"] is None
