from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from synthetic import predictions

from circuit_distillation.reporting.results import COLUMNS, result_rows

KEY = dict(task="entity", seed=0, experiment="paper", model="small", arm="circuit_ce")


def values(frame: pd.DataFrame) -> dict[str, float]:
    return dict(zip(frame["metric"], frame["value"], strict=True))


def counts(frame: pd.DataFrame) -> dict[str, int]:
    return dict(zip(frame["metric"], frame["n"], strict=True))


def share(items) -> float:
    items = [bool(x) for x in items]
    return sum(items) / len(items)


def test_accuracies_agree_with_counting() -> None:
    frame = predictions()
    rows = result_rows(frame, **KEY, measured={"pct_heads": 12.5})
    assert tuple(rows.columns) == COLUMNS
    assert (rows[list(KEY)] == pd.Series(KEY)).all().all()
    got, n = values(rows), counts(rows)
    for part in ("full", "circuit"):
        assert got[f"{part}_accuracy"] == pytest.approx(share(frame[f"{part}_correct"]))
        assert got[f"{part}_candidate_accuracy"] == pytest.approx(share(frame[f"{part}_candidate_correct"]))
    assert got["faithfulness"] == pytest.approx(got["circuit_accuracy"] / got["full_accuracy"])
    randoms = [share(frame[f"random_{k:02d}_correct"]) for k in range(3)]
    assert got["random_circuit_accuracy"] == pytest.approx(sum(randoms) / 3)
    assert got["random_circuit_std"] == pytest.approx(np.std(randoms, ddof=1))
    assert got["majority_answer_accuracy"] == frame["answer"].value_counts().max() / len(frame)
    assert got["pct_heads"] == 12.5
    assert (n["full_accuracy"], n["random_circuit_accuracy"], n["pct_heads"]) == (84, 3, 1)
    assert not [name for name in got if "balanced" in name or "." in name or "container" in name]


def test_belief_cells_are_reported_one_by_one() -> None:
    frame = predictions("tom")
    got = values(result_rows(frame, **{**KEY, "task": "tom"}))
    n = counts(result_rows(frame, **{**KEY, "task": "tom"}))
    for part in ("full", "circuit"):
        cells = [
            share(frame.loc[frame["cell"] == cell, f"{part}_correct"]) for cell in ("own", "seen", "unseen")
        ]
        assert [got[f"{part}_accuracy.{cell}"] for cell in ("own", "seen", "unseen")] == pytest.approx(cells)
        assert got[f"balanced_{part}_accuracy"] == pytest.approx(sum(cells) / 3)
    assert n["full_accuracy.own"] == 24
    assert got["majority_answer_accuracy"] == pytest.approx(1 / 3)
    assert got["majority_answer_balanced"] == pytest.approx(1 / 3)  # always "unknown"
    assert got["read_container_accuracy"] == pytest.approx(2 / 3)
    assert got["read_container_balanced"] == pytest.approx(2 / 3)


def test_balanced_baselines_do_not_depend_on_the_mix_of_cells() -> None:
    frame = predictions("tom")
    frame = frame[(frame["cell"] == "unseen") | (frame.index < 30)]
    got = values(result_rows(frame, **{**KEY, "task": "tom"}))
    assert got["majority_answer_accuracy"] > 0.5
    assert got["read_container_accuracy"] < 0.6
    assert got["majority_answer_balanced"] == pytest.approx(1 / 3)
    assert got["read_container_balanced"] == pytest.approx(2 / 3)


def test_invalid_answers_are_those_outside_the_candidates() -> None:
    frame = predictions()
    examples = pd.DataFrame(
        {"example_id": frame["example_id"], "candidates": [np.array(["thing0", "thing1"])] * 84}
    )
    frame["full_predicted"] = [" thing0"] * 63 + ["thing9"] * 21
    got = values(result_rows(frame, **KEY, examples=examples))
    assert got["full_invalid"] == 0.25
    assert got["circuit_invalid"] == share(p not in ("thing0", "thing1") for p in frame["circuit_predicted"])
    with pytest.raises(ValueError, match="entity-83"):
        result_rows(frame, **KEY, examples=examples.iloc[:-1])


def test_predictions_must_be_of_the_whole_test_split_and_its_answers() -> None:
    frame = predictions()
    examples = frame[["example_id", "answer"]].assign(candidates=[["thing0"]] * len(frame))
    result_rows(frame.sample(frac=1, random_state=0), **KEY, examples=examples)
    with pytest.raises(ValueError, match="4 of 84 test examples have no prediction, 'entity-80' first"):
        result_rows(frame.iloc[:-4], **KEY, examples=examples)
    other = examples.assign(answer=["else", *examples["answer"][1:]])
    with pytest.raises(ValueError, match="'entity-0' has another answer in the test split"):
        result_rows(frame, **KEY, examples=other)


def test_a_model_without_a_circuit_has_no_circuit_metrics() -> None:
    frame = predictions()
    bare = frame[["example_id", "group_id", "cell", "answer", "full_predicted", "full_correct"]]
    assert set(values(result_rows(bare, **KEY))) == {"full_accuracy", "majority_answer_accuracy"}
    one = values(result_rows(frame.drop(columns=["random_01_correct", "random_02_correct"]), **KEY))
    assert "random_circuit_accuracy" in one and "random_circuit_std" not in one


def test_faithfulness_of_a_model_that_is_never_right_is_not_a_number() -> None:
    assert np.isnan(values(result_rows(predictions().assign(full_correct=False), **KEY))["faithfulness"])


def test_bad_predictions_say_what_to_do() -> None:
    frame = predictions()
    with pytest.raises(ValueError, match="lack the columns cell, full_correct"):
        result_rows(frame.drop(columns=["cell", "full_correct"]), **KEY)
    with pytest.raises(ValueError, match="every test example once"):
        result_rows(pd.concat([frame, frame]), **KEY)
    with pytest.raises(ValueError, match="at least one"):
        result_rows(frame.iloc[:0], **KEY)
