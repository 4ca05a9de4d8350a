"""The tour runs over the artifacts of a run, in a kernel of its own; notebooks are kept without outputs."""

from __future__ import annotations

import json
import re

import pytest
from naive.tiny_models import tiny_model

from circuit_distillation.models.loading import Checkpoint, save_checkpoint
from circuit_distillation.models.mini import build_tokenizer

from .conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PUBLIC = {
    "circuits.evaluation": {"circuit_predictions"},
    "circuits.mean_ablation": {"head_effects", "head_means"},
    "circuits.path_patching": {"score_heads"},
    "mapping.impact": {"student_impact", "teacher_impact"},
    "mapping.match": {"match_heads"},
    "similarity.cka": {"linear_cka"},
    "statistics.mcnemar": {"mcnemar_test"},
    "training.head_slices": {"HeadSlices"},
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path) -> None:
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


def test_the_tour_needs_the_public_interface_alone() -> None:
    text = "".join("".join(c["source"]) + "\n" for c in json.loads(_tour().read_text())["cells"])
    imported = re.findall(r"^from circuit_distillation\.(\S+) import (.+)$", text, re.MULTILINE)
    assert {module: set(names.split(", ")) for module, names in imported} == PUBLIC
    assert "import circuit_distillation" not in text


def test_the_tour_runs_over_the_catalog(data_root) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    tour = nbformat.read(_tour(), as_version=4)
    given = {"data_root": str(data_root), "task": "entity"}
    tour.cells.insert(0, nbformat.v4.new_code_cell(f"runtime_params = {given}"))
    place = {"metadata": {"path": str(ROOT / "notebooks")}}
    nbclient.NotebookClient(tour, timeout=120, kernel_name="python3", resources=place).execute()
    outputs = [output for cell in tour.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs if output.get("name") == "stdout")
    assert "distinct teacher heads:" in printed and "CE + Align CKA" in printed
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2


def test_the_notebook_of_an_own_model_runs_on_a_folder(tmp_path) -> None:
    """On a small Llama with random weights and a tokenizer that knows the words of the notebook."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(ROOT / "notebooks" / "own_model.ipynb", as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert set(re.findall(r"^(?:from|import) circuit_distillation.*$", code, re.MULTILINE)) == {
        "from circuit_distillation import api"
    }
    tokenizer = build_tokenizer(sorted(set(re.findall(r"\w+|,", code))))
    model = tiny_model(n_layers=4, vocab_size=len(tokenizer)).float()
    save_checkpoint(Checkpoint(model, tokenizer), tmp_path / "model")
    notebook.cells.insert(0, nbformat.v4.new_code_cell(f"name = {str(tmp_path / 'model')!r}"))
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs if output.get("name") == "stdout")
    assert "30 prompts of 15 tokens" in printed and "5 step(s): rank correlation" in printed
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2


def _tour():
    return ROOT / "notebooks" / "tour.ipynb"
