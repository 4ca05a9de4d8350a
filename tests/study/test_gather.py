"""Stored files of every run, folded into tables."""

from __future__ import annotations

import pandas as pd
import pytest

from circuit_distillation.study.gather import head_table, models_of, training_table


def history(rate: float, steps: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {"step": range(1, steps + 1), "ce": 1.0, "lr": [0.0, *[rate] * (steps - 1)], "loss": 2.0}
    )


def stored(frames: dict[str, pd.DataFrame]):
    return {name: lambda frame=frame: frame for name, frame in frames.items()}


def test_histories_of_other_experiments_and_of_corpus_students_stay_out():
    names = ("paper/small.circuit_ce", "paper.training1/small.circuit_ce", "other/small.circuit_ce")
    files = {f"seed0/tom/{name}": history(1e-3) for name in (*names, "paper/small.goat_circuit_ce")}
    table = training_table(stored(files), "paper")
    assert table.groupby("training_seed").size().to_dict() == {0: 3, 1: 3}
    assert set(table["arm"]) == {"circuit_ce"} and "loss" not in table


def test_runs_trained_at_different_rates_are_refused():
    files = {
        "seed0/tom/paper/small.circuit_ce": history(1e-3),
        "seed1/tom/paper/small.circuit_ce": history(3e-4),
    }
    with pytest.raises(ValueError, match=r"small.circuit_ce \(tom\) .* from 0.0003 to 0.001: remove"):
        training_table(stored(files), "paper")
    with pytest.raises(ValueError, match="make study"):
        training_table({}, "paper")


def test_heads_of_circuits_and_names_of_discovered_ones():
    circuit = {"heads": [[0, 1], [2, 3]], "n_heads_total": 32}
    shares = pd.DataFrame(
        [("any", 0, 1, 0.9), ("any", 2, 3, 0.4), ("reader", 0, 1, 0.1)],
        columns=["stage", "layer", "head", "redraws"],
    )
    circuits = {f"seed{seed}/entity/large_tuned": lambda: circuit for seed in (1, 2)}
    table = head_table(circuits, {"seed1/entity/large_tuned": lambda: shares})
    assert table[["role", "kind", "layer", "head"]].to_numpy().tolist()[:2] == [
        ["large", "tuned", 0, 1],
        ["large", "tuned", 2, 3],
    ]
    assert table["redraws"].tolist()[:2] == [0.9, 0.4] and table["redraws"][2:].isna().all()
    [(model, _)] = models_of({"seed1/entity/large.tuned": lambda: None}, "paper", suffix="_discovered")
    assert (model.arm, model.training_seed) == ("tuned_discovered", None)
