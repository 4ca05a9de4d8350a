"""The pipeline `study` over stored files: the claims table comes back from the predictions alone."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from study import synthetic

from circuit_distillation.study.document import refresh
from circuit_distillation.study.outcomes import outcome_table
from circuit_distillation.study.verdicts import claims_table

from .conftest import ROOT


@pytest.fixture(scope="module")
def data_root(tmp_path_factory, run_kedro):
    """A data folder with a made-up study in it, gathered and judged."""
    root = tmp_path_factory.mktemp("data")
    _store(root)
    run_kedro(root, ["study"], task="tom")
    return root


def _store(root) -> None:
    """What `study_run` leaves behind, for every run."""
    for model, frame in synthetic.stored(tasks=("tom",)):
        run = root / f"07_model_output/mini/seed{model.seed}/{model.task}"
        frame = frame.assign(
            template="plain", full_predicted=frame["answer"], circuit_predicted=frame["answer"]
        )
        draw = f".training{model.training_seed}" if model.training_seed else ""
        path = run / f"paper{draw}/{model.role}.{model.arm}.predictions.parquet"
        if model.arm.endswith("_discovered"):
            path = run / f"{model.role}.{model.arm.removesuffix('_discovered')}.circuit_predictions.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(path)
        if model.arm == "circuit_ce_align_cka" and model.training_seed == 0:
            pd.DataFrame([synthetic.TRANSFER]).to_parquet(
                path.with_name(f"{model.role}.{model.arm}.transfer.parquet")
            )
        test = root / f"03_primary/mini/seed{model.seed}/{model.task}/test.parquet"
        if not test.exists():
            test.parent.mkdir(parents=True)
            frame.assign(candidates=[["thing"]] * len(frame)).to_parquet(test)
    keys = ["task", "seed", "training_seed", "role", "arm"]
    for (task, seed, draw, role, arm), frame in synthetic.histories(("tom",)).groupby(keys):
        folder = f"paper.training{draw}" if draw else "paper"
        frame.drop(columns=keys).to_parquet(
            root / f"07_model_output/mini/seed{seed}/{task}/{folder}/{role}.{arm}.history.parquet"
        )
    for (task, seed, role, kind), heads in synthetic.circuits(("tom",)).groupby(
        ["task", "seed", "role", "kind"]
    ):
        run = root / f"05_model_input/mini/seed{seed}/{task}"
        (run / "paper").mkdir(parents=True, exist_ok=True)
        circuit = {"heads": heads[["layer", "head"]].to_numpy().tolist(), "n_heads_total": 64}
        (run / f"{role}_{kind}_circuit.json").write_text(json.dumps(circuit))
        pair = {"student": [0, 1], "teacher": [1, 2], "distance": 0.5, "stability": 1.0}
        for student in synthetic.ROLES:
            record = {"rule": "nearest", "pairs": [pair, {**pair, "student": [1, 1]}]}
            (run / f"paper/{student}_mapping.json").write_text(json.dumps(record))


def _table(root, name: str) -> pd.DataFrame:
    path = root / "08_reporting/mini/study" / name
    return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)


def test_the_claims_come_back_from_the_predictions_alone(data_root):
    again = claims_table(
        outcome_table(synthetic.stored(tasks=("tom",))),
        synthetic.histories(("tom",)),
        synthetic.circuits(("tom",)),
    )
    stored = _table(data_root, "claims.csv")
    pd.testing.assert_frame_equal(stored, again[stored.columns], check_dtype=False)
    assert (stored["n"].isin([9, 3])).all()


def test_the_tables_show_what_is_stored(data_root):
    text = (data_root / "08_reporting/mini/study/replication.md").read_text()
    assert "same heads, full model (`align_beats_ce`) | +0.040 | +0.060 |" in text
    assert "| Theory of mind | M | 2.0 | 1.0 |" in text
    assert (
        "| Theory of mind | S | CE + Align CKA | 0.400 | 0.450 | 0.100 | 0.300 | 0.200 | 0.700 "
        "| 0.650 | 0.300 | 0.500 | 0.100 | 0.600 | 0.900 | 0.350 | 1.000 | 0.750 |" in text
    )


def test_a_document_keeps_its_prose_and_gets_its_tables_by_name(data_root):
    text = (data_root / "08_reporting/mini/study/replication.md").read_text()
    page = refresh("Before.\n<!-- table: mapping -->\nold\n<!-- end -->\nAfter 0.5.\n", text)
    assert page.startswith("Before.\n<!-- table: mapping -->") and page.endswith("<!-- end -->\nAfter 0.5.\n")
    assert "old" not in page and "| Theory of mind | M | 2.0 | 1.0 |" in page
    with pytest.raises(ValueError, match="no table sweep_rows: correct the marker, or run the search"):
        refresh("<!-- table: sweep_rows -->\n<!-- end -->", text)


def test_accuracies_are_means_over_families_and_training_seeds(data_root):
    table = _table(data_root, "accuracies.csv").set_index(["task", "model", "arm", "metric"])
    row = table.loc[("tom", "small", "circuit_ce", "full_accuracy")]
    assert (row["mean"], row["runs"]) == (pytest.approx(0.74), 9)
    assert table.loc[("tom", "large", "tuned", "full_accuracy"), "runs"] == 3


def test_the_notebook_runs_over_the_catalog(data_root, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    monkeypatch.chdir(ROOT / "notebooks")
    cells = json.loads(Path("replication.ipynb").read_text())["cells"]
    names = {"runtime_params": {"data_root": str(data_root), "task": "tom"}}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert len(names["claims"]) == len(_table(data_root, "claims.csv")) and names["tasks"] == ["tom"]
