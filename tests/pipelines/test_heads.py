"""The node of the pipeline `heads`, on random models."""

from __future__ import annotations

import pytest
from naive.prompts import tiny_checkpoint

from circuit_distillation import grid
from circuit_distillation.parameters.looks import HeadViewer
from circuit_distillation.pipelines.heads.nodes import show_heads
from circuit_distillation.pipelines.heads.pipeline import create_pipeline
from circuit_distillation.tasks import get_task

FAMILY = {"roles": {"small": {"name": "small", "label": "S"}, "large": {"name": "large", "label": "L"}}}
MAPPING = {"rule": "nearest", "pairs": [{"student": [0, 1], "teacher": [1, 2]}]}


@pytest.fixture
def stored(heads_measured) -> dict:
    task = get_task("entity", n_boxes=2)
    students = {f"small.{arm}": lambda: tiny_checkpoint(task) for arm in ("full_ce", "goat_circuit_ce")}
    students["medium.circuit_ce"] = lambda: pytest.fail("another student is not loaded")
    run = {"task": "entity", "seed": 0, "experiment": "paper", "training_seed": 1}
    return {
        "teacher": tiny_checkpoint(task, seed=1), "base": tiny_checkpoint(task, seed=2), "students": students,
        "test": task.generate(3, 0), "means": task.generate(3, 1), "mapping": MAPPING,
        "by_function": MAPPING | {"rule": "role"}, "role": FAMILY["roles"]["small"], "family": FAMILY,
        **run, **heads_measured,
    }  # fmt: skip


@pytest.fixture
def heads_measured() -> dict:
    import pandas as pd

    grid_of = [(layer, head) for layer in range(2) for head in range(4)]
    frame = pd.DataFrame(grid_of, columns=["layer", "head"])
    measured = {
        "circuit": {"heads": [[0, 1]], "stages": {"reader": [[0, 1]]}},
        "head_scores": frame.assign(stage="reader", score=-0.1, stderr=float("nan")),
        "stability": frame.assign(stage="any", redraws=1.0),
    }
    return {f"{side}_{name}": value for side in ("student", "teacher") for name, value in measured.items()}


def wanted(**changes) -> HeadViewer:
    return HeadViewer(**{"pairs": [], "arms": [], "n_prompts": 1} | changes)


def test_every_arm_that_exists_stands_beside_the_base(stored) -> None:
    files = show_heads(wanted=wanted(), **stored)
    assert set(files) == {"heads.html", "pair_L0.H1_L1.H2.svg"}
    page = files["heads.html"].decode()
    for name in ("GOAT-L", "Base-S", "CE, fully distilled", "CE (GOAT-style), circuit distilled"):
        assert f'"name":"{name}"' in page
    assert '"experiment":"paper.training1"' in page and '"rules":["nearest","role"]' in page


def test_pairs_and_arms_can_be_chosen_and_what_is_absent_is_named(stored) -> None:
    page = show_heads(wanted=wanted(arms="full_ce", pairs="L0.H1"), **stored)["heads.html"].decode()
    assert "GOAT-style" not in page
    with pytest.raises(ValueError, match="small.circuit_ce has not been trained in this run: leave it out"):
        show_heads(wanted=wanted(arms="full_ce+circuit_ce"), **stored)
    with pytest.raises(ValueError, match="no mapping pairs L1.H1; there are L0.H1"):
        show_heads(wanted=wanted(pairs="L1.H1"), **stored)


def test_the_pipeline_is_about_the_student_that_was_asked_for() -> None:
    before = dict(grid._selected)
    try:
        grid._selected["student"] = "medium.circuit_ce"
        [node] = create_pipeline().nodes
        assert {"base.medium", "medium.mapping", "tuned.large"} <= set(node.inputs)
    finally:
        grid._selected.update(before)
