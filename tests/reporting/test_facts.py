from __future__ import annotations

from synthetic import run_inputs

from circuit_distillation.reporting.facts import COLUMNS, collapsed_mappings, run_facts

RUN = dict(task="entity", seed=0, experiment="paper")


def test_facts_are_flat_text() -> None:
    groups = {"Parameters": {"training": {"lr": 1e-3, "betas": (0.9, 0.98)}}, "Versions": {"torch": "2.13"}}
    frame = run_facts(**RUN, mappings={}, groups=groups)
    assert tuple(frame.columns) == COLUMNS
    assert frame[["group", "name", "value"]].values.tolist() == [
        ["Parameters", "training.lr", "0.001"],
        ["Parameters", "training.betas", "0.9, 0.98"],
        ["Versions", "torch", "2.13"],
    ]


def test_mappings_with_fewer_than_half_distinct_heads_are_named() -> None:
    mapping = run_inputs()["mappings"]["small"]
    spread = {**mapping, "distinct_teacher_heads": 2}
    even = {**mapping, "n_pairs": 4, "distinct_teacher_heads": 2}
    facts = run_facts(**RUN, mappings={"small": mapping, "medium": spread}, groups={})
    assert collapsed_mappings(facts) == [{**RUN, "student": "small", "pairs": 3, "distinct": 1}]
    assert collapsed_mappings(run_facts(**RUN, mappings={"small": even}, groups={})) == []
