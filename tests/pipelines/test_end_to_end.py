"""The whole paper on the small configuration, once for each task, from nothing to the page."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM

from circuit_distillation import grid
from circuit_distillation.models.loading import load_checkpoint


def reporting(root):
    return root / "08_reporting" / "mini"


@pytest.mark.parametrize("task", ["entity", "tom"])
def test_every_model_has_predictions_for_every_test_example(data_root, task):
    grid.select(task)
    test = pd.read_parquet(data_root / f"03_primary/mini/seed0/{task}/test.parquet")
    for role, arm in grid.measured():
        stored = data_root / f"07_model_output/mini/seed0/{task}/paper"
        frame = pd.read_parquet(stored / f"{role}.{arm}.predictions.parquet")
        assert frame["example_id"].tolist() == test["example_id"].tolist()
        assert {"full_correct", "circuit_correct", "random_00_correct", "random_01_correct"} <= set(frame)


@pytest.mark.parametrize("task", ["entity", "tom"])
def test_only_the_circuit_heads_of_a_circuit_arm_moved(data_root, task):
    models = data_root / f"06_models/mini/seed0/{task}"
    stored = data_root / f"05_model_input/mini/seed0/{task}/paper"
    mapping = json.loads((stored / "small_mapping.json").read_text())
    heads = {tuple(head) for head in mapping["student_heads"]}
    base = load_checkpoint(models / "base" / "small").model
    student = load_checkpoint(models / "paper" / "small.circuit_ce_align_cka").model
    width = base.config.head_dim
    moved = set()
    for (name, before), after in zip(base.named_parameters(), student.parameters(), strict=True):
        changed = before != after
        if name.endswith("q_proj.weight"):
            layer = int(name.split(".")[2])
            moved |= {(layer, int(row) // width) for row in changed.any(1).nonzero()}
        elif not any(part in name for part in ("k_proj", "v_proj", "o_proj")):
            assert not changed.any(), name
    assert moved == heads


def test_tables_show_what_the_predictions_say(data_root):
    table = pd.read_csv(reporting(data_root) / "table3.csv", keep_default_na=False)
    row = table[(table.model == "Base-S") & (table.loss == "CE + Align CKA")].iloc[0]
    frame = pd.read_parquet(
        data_root / "07_model_output/mini/seed0/entity/paper/small.circuit_ce_align_cka.predictions.parquet"
    )
    assert float(row.full_model) == pytest.approx(frame.full_correct.mean())
    assert float(row.circuit) == pytest.approx(frame.circuit_correct.mean())
    randoms = frame[[name for name in frame if name.startswith("random_") and name.endswith("_correct")]]
    assert float(row.random_circuit) == pytest.approx(randoms.mean().mean())
    assert float(row.paper_full_model) == 0.77


def test_results_hold_both_tasks_and_the_page_shows_them(data_root):
    results = pd.read_parquet(reporting(data_root) / "results.parquet")
    assert set(results.task) == {"entity", "tom"}
    page = (reporting(data_root) / "report.html").read_text()
    assert "Entity tracking" in page and "Theory of mind" in page
    assert len(list((reporting(data_root) / "figures").glob("*/*_ce_loss_*.svg"))) == 4
    significance = pd.read_csv(reporting(data_root) / "significance.csv")
    assert (significance.p_holm >= significance.p - 1e-12).all()
    rivals = ("circuit_ce", "full_ce")
    assert {f"circuit_ce_align_cka vs {arm}" for arm in rivals} <= set(significance.comparison)


def test_a_second_run_for_what_is_missing_does_nothing(data_root, run_kedro):
    before = {path: path.stat().st_mtime_ns for path in data_root.rglob("*") if path.is_file()}
    for task in ("entity", "tom"):
        run_kedro(data_root, only_missing_outputs=True, task=task)
    changed = {p for p, time in before.items() if p.stat().st_mtime_ns != time and "mlflow" not in p.name}
    assert not changed


def test_another_experiment_adds_its_rows_and_renews_tables_and_page(data_root, run_kedro):
    page = (reporting(data_root) / "report.html").stat().st_mtime_ns
    kept = (data_root / "06_models/mini/seed0/tom/base/small/model.safetensors").stat().st_mtime_ns
    other = {"experiment": "lambda9", "distillation": {"cka_weight": 9.0}}
    run_kedro(data_root, only_missing_outputs=True, task="tom", **other)
    results = pd.read_parquet(reporting(data_root) / "results.parquet")
    assert set(results[results.task == "tom"].experiment) == {"paper", "lambda9"}
    assert (reporting(data_root) / "report.html").stat().st_mtime_ns > page
    assert (data_root / "06_models/mini/seed0/tom/base/small/model.safetensors").stat().st_mtime_ns == kept


def test_two_experiments_are_compared_arm_by_arm(data_root, run_kedro):
    run_kedro(data_root, ["compare"], experiments="paper+lambda9")
    table = pd.read_csv(reporting(data_root) / "comparison_paper+lambda9.csv")
    assert set(table["task"]) == {"tom"} and len(table) == 20  # five arms of two students, both scopes
    plain = table[table["arm"].isin(["full_ce", "circuit_ce"])]  # no weight of a CKA loss changes them
    assert (plain[["n01", "n10"]] == 0).all(axis=None)


def test_mlflow_has_a_parent_and_a_child_for_every_model(data_root):
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{data_root}/mlflow.db")
    runs = mlflow.search_runs(search_all_experiments=True)
    names = runs["tags.mlflow.runName"].tolist()
    # one for each task and one for the second experiment
    assert names.count("small/circuit_ce_align_cka") == 3
    child = runs[runs["tags.mlflow.runName"] == "small/circuit_ce_align_cka"].iloc[0]
    assert child["tags.mlflow.parentRunId"] in set(runs.run_id)
    assert np.isfinite(child["metrics.full_accuracy"]) and np.isfinite(child["metrics.ce"])


def test_runs_in_mlflow_can_be_compared_and_carry_their_artifacts(data_root):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{data_root}/mlflow.db")
    (experiment,) = [one for one in client.search_experiments() if one.name == "circuit_distillation"]
    arms = ("circuit_ce", "circuit_ce_align_cka")
    where = "tags.mlflow.runName = 'medium/{}' and tags.task = 'tom' and tags.experiment = 'paper'"
    plain, aligned = (client.search_runs([experiment.experiment_id], where.format(arm))[0] for arm in arms)
    assert plain.data.params["distillation.learning_rate"] == "0.0003"
    assert plain.data.params["distillation.alignment"] == "None"
    assert aligned.data.params["distillation.alignment.cka_weight"] == "1.0"
    assert {"full_accuracy", "circuit_accuracy", "ce", "loss"} <= set(plain.data.metrics)
    assert set(aligned.data.metrics) - set(plain.data.metrics) == {"similarity", "noise_floor"}
    assert len(client.get_metric_history(aligned.info.run_id, "ce")) > 1
    files = [{file.path for file in client.list_artifacts(run.info.run_id)} for run in (plain, aligned)]
    assert files == [{"history.csv"}, {"history.csv", "similarity.png"}]
    parent = aligned.data.tags["mlflow.parentRunId"]
    assert "report.html" in {file.path for file in client.list_artifacts(parent)}


def test_the_same_command_gives_the_same_data(data_root, run_kedro, tmp_path):
    run_kedro(tmp_path, ["data_generation"], task="tom")
    for name in ("train", "test", "discovery_corrupt", "corpus_train"):
        path = f"03_primary/mini/seed0/tom/{name}.parquet"
        assert pd.read_parquet(tmp_path / path).equals(pd.read_parquet(data_root / path))


def test_heads_of_a_student_can_be_seen_and_the_student_published(data_root, run_kedro):
    student = "small.circuit_ce_align_cka"
    run_kedro(data_root, ["heads"], task="tom", student="small")
    (page,) = (reporting(data_root) / "heads").rglob("heads.html")
    assert page.parent.name == "tom_seed0_paper_small" and "<svg" in page.read_text()
    run_kedro(data_root, ["bundle"], task="tom", student=student)
    folder = reporting(data_root) / "bundles" / f"tom_seed0_paper_{student}"
    published = AutoModelForCausalLM.from_pretrained(folder)
    trained = load_checkpoint(data_root / f"06_models/mini/seed0/tom/paper/{student}").model
    for name, weight in trained.state_dict().items():
        assert torch.equal(published.state_dict()[name], weight), name
    assert json.loads((folder.parent / f"{folder.name}.published.json").read_text())["pushed"] is False
