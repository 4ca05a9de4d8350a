from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import LABELS, predictions

from circuit_distillation.reporting.results import COLUMNS as RESULT_COLUMNS
from circuit_distillation.reporting.results import result_rows
from circuit_distillation.reporting.tables import COLUMNS, PAPER_LABELS, TABLES, build_table, paper_rows

METRICS = ("full_accuracy", "circuit_accuracy", "random_circuit_accuracy", "faithfulness", "pct_heads")


def results_for(task: str, arms: dict[tuple[str, str], float], seed: int = 0, experiment: str = "paper"):
    return [
        result_rows(
            predictions(task, accuracy),
            task=task,
            seed=seed,
            experiment=experiment,
            model=role,
            arm=arm,
            measured={"pct_heads": 12.5, "pct_parameters": 2.0},
        )
        for (role, arm), accuracy in arms.items()
    ]


EMPTY = pd.DataFrame(columns=list(RESULT_COLUMNS))


def test_the_papers_rows_are_complete_and_matched_by_role() -> None:
    rows = paper_rows()
    assert rows.groupby("table").size().tolist() == [13, 14, 24, 19]
    assert not rows.duplicated(["table", "role", "arm"]).any()
    size = {"small": "1B", "medium": "3B", "large": "8B"}
    assert all(size[row.role] in row.model for row in rows.itertuples())
    best = rows.query("table == 1 and role == 'medium' and arm == 'circuit_ce_align_cka'").iloc[0]
    assert (best.full_model, best.circuit) == (0.82, 0.79)
    goat = rows.query("table == 3 and role == 'small' and arm == 'goat_circuit_ce_rand_cka'").iloc[0]
    assert (goat.full_model, goat.circuit, goat.random_circuit, goat.faithfulness) == (0.62, 0.55, 0.02, 0.88)


@pytest.mark.parametrize("number", TABLES)
def test_without_results_the_papers_rows_stand_alone(number: int) -> None:
    table = build_table(EMPTY, number, LABELS)
    paper = paper_rows().query("table == @number")
    assert tuple(table.columns) == COLUMNS
    assert table["paper_full_model"].tolist() == paper["full_model"].tolist()
    assert table["block"].tolist() == paper["block"].tolist()
    instruct = paper["arm"].to_numpy() == "instruct"
    assert (table.loc[instruct, "full_model"] == "n/a").all()
    assert table.loc[~instruct, "full_model"].isna().all() and table["n_test"].isna().all()


@pytest.mark.parametrize("number", TABLES)
def test_the_papers_own_models_have_the_papers_names(number: int) -> None:
    table = build_table(EMPTY, number, PAPER_LABELS)
    assert table["model"].tolist() == paper_rows().query("table == @number")["model"].tolist()


def test_rows_are_named_after_the_family() -> None:
    table = build_table(EMPTY, 3, LABELS)
    assert table["model"].tolist()[:6] == [
        "Base-Tiny-S", "Base-Tiny-M", "Base-Tiny-L", "GOAT-Tiny-S", "GOAT-Tiny-M", "GOAT-Tiny-L",
    ]  # fmt: skip
    assert "Base-Tiny-S (GOAT-style)" in set(table["model"])
    assert set(table["loss"]) == {"", "CE", "Align CKA", "CE + Rand CKA", "CE + Align CKA"}


def test_measured_figures_land_in_their_row_and_are_means_over_seeds() -> None:
    runs = [
        *results_for("entity", {("medium", "circuit_ce"): 0.6, ("large", "tuned"): 0.9}, seed=0),
        *results_for("entity", {("medium", "circuit_ce"): 0.8}, seed=1),
        *results_for("tom", {("medium", "circuit_ce"): 0.2}),
    ]
    table = build_table(pd.concat(runs), 1, LABELS)
    row = table[
        (table["model"] == "Base-Tiny-M") & (table["block"] == "Circuit Distilled") & (table["loss"] == "CE")
    ]
    accuracies = [frame.query("metric == 'full_accuracy'")["value"].iloc[0] for frame in (runs[0], runs[2])]
    assert row["full_model"].iloc[0] == pytest.approx(sum(accuracies) / 2)
    assert row[["seeds", "n_test", "pct_heads", "paper_full_model"]].iloc[0].tolist() == [2, 84, 12.5, 0.77]
    assert table["full_model"].notna().sum() == 2
    assert table.loc[table["model"] == "GOAT-Tiny-L", "seeds"].iloc[0] == 1


def test_rows_beyond_the_paper_come_below() -> None:
    runs = [
        *results_for(
            "entity", {("small", "full_kl"): 0.7, ("large", "tuned_corpus"): 0.8, ("small", "base"): 0.6}
        ),
        *results_for(
            "entity", {("small", "circuit_ce_align_cka"): 0.9, ("small", "base"): 0.6}, experiment="lambda05"
        ),
    ]
    results = pd.concat(runs)
    table = build_table(results, 3, LABELS)
    below = table.iloc[24:]
    assert below["loss"].tolist() == ["KL, all weights", "CE", "CE + Align CKA"]
    assert below["block"].tolist()[-1] == "Circuit Distilled (lambda05)"
    assert below["paper_full_model"].isna().all()
    assert len(build_table(results, 1, LABELS)) == 13 + 1
    swapped = build_table(results, 1, LABELS, experiment="lambda05")
    assert len(swapped) == 13  # `paper` has no circuit arm of Table 1 here


def test_base_rows_of_another_experiment_serve_every_experiment() -> None:
    results = pd.concat(results_for("entity", {("small", "base"): 0.6}, experiment="lambda05"))
    table = build_table(results, 1, LABELS)
    assert table.loc[table["model"] == "Base-Tiny-S", "seeds"].iloc[0] == 1
    assert len(table) == 13


def test_measured_instruct_models_replace_not_available() -> None:
    results = pd.concat(results_for("tom", {("large", "instruct"): 0.8}))
    table = build_table(results, 4, LABELS)
    values = table.loc[table["model"].str.endswith("Instruct"), "full_model"].tolist()
    assert values[:2] == ["n/a", "n/a"] and isinstance(values[2], float)


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="Tables 1 to 4"):
        build_table(EMPTY, 6, LABELS)


measurement = st.tuples(
    st.sampled_from(["entity", "tom"]),
    st.integers(0, 2),
    st.sampled_from(["paper", "other"]),
    st.sampled_from(["small", "medium", "large"]),
    st.sampled_from(["base", "tuned", "full_ce", "circuit_ce", "goat_circuit_ce", "full_kl"]),
)


accuracies = st.floats(0, 1, allow_subnormal=False)  # some libraries make the processor flush them


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(measurement, accuracies, max_size=25), st.sampled_from(TABLES))
def test_every_cell_is_the_mean_of_its_own_measurements(measured, number: int) -> None:
    rows = [(*key, metric, value, 10) for key, value in measured.items() for metric in METRICS]
    table = build_table(pd.DataFrame(rows, columns=list(RESULT_COLUMNS)), number, LABELS)
    paper = paper_rows().query("table == @number")
    for line, row in zip(table.head(len(paper)).itertuples(), paper.itertuples(), strict=True):
        mine = {k: v for k, v in measured.items() if k[0] == row.task and k[3:] == (row.role, row.arm)}
        own = [v for k, v in mine.items() if k[2] == "paper"]
        if not own and row.arm in ("base", "tuned"):
            own = list({k[1]: v for k, v in sorted(mine.items())}.values())
        if own:
            assert line.full_model == pytest.approx(sum(own) / len(own))
            assert line.seeds == len(own)
        elif row.arm != "instruct":
            assert pd.isna(line.full_model)
    assert (table.iloc[len(paper) :]["seeds"] >= 1).all()


def test_tasks_beyond_the_paper_stand_in_a_table_of_their_own() -> None:
    trained = ("small", "circuit_ce_align_cka")
    rows = results_for("sally", {("small", "base"): 0.5, ("large", "tuned"): 0.9, trained: 0.7})
    rows += results_for("sally", {("small", "base"): 0.5, trained: 0.6}, experiment="other")
    table = build_table(pd.concat(rows), 5, LABELS)
    assert table["block"].tolist() == [
        *["False belief: Baselines"] * 2,
        "False belief: Circuit Distilled",
        "False belief: Circuit Distilled (other)",
    ]
    assert table["model"].tolist() == ["Base-Tiny-S", "Tuned-Tiny-L", "Base-Tiny-S", "Base-Tiny-S"]
    assert build_table(pd.concat(results_for("entity", {("small", "base"): 0.5})), 5, LABELS).empty


@pytest.mark.parametrize("number", TABLES)
def test_a_family_has_rows_for_its_own_students_alone(number: int) -> None:
    labels = {"tiny": "T", "small": "S", "large": "L"}
    arms = {(role, "circuit_ce"): 0.5 for role in ("tiny", "small", "medium")}
    task = "entity" if number in (1, 3) else "tom"
    runs = results_for(task, arms) + results_for(task, {("tiny", "circuit_ce"): 0.9}, experiment="other")
    table = build_table(pd.concat(runs), number, labels)
    printed = paper_rows().query("table == @number and role != 'medium'")
    assert table["paper_full_model"].tolist()[: len(printed)] == printed["full_model"].tolist()
    beyond = table[len(printed) :]
    assert beyond["model"].tolist() == ["Base-T", "Base-T"] and beyond["loss"].tolist() == ["CE", "CE"]
    assert beyond["block"].str.endswith("(other)").tolist() == [False, True]
    assert beyond["paper_full_model"].isna().all()
