"""The nodes of head mapping, from settings and stored frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from circuit_distillation import grid
from circuit_distillation.mapping.match import RULES
from circuit_distillation.mapping.settings import MappingSettings
from circuit_distillation.pipelines.head_mapping.nodes import (
    choose_heads,
    draw_controls,
    draw_other_roles,
    map_heads,
)
from circuit_distillation.pipelines.head_mapping.pipeline import OF_CONTROLS, OF_HEADS, create_pipeline

ANCESTRY = {"small": [[[0, head], [0, 1 + head % 2]] for head in range(4)]}
SETTINGS = MappingSettings(performance="logit_diff", fraction=0.5, seed=7)


def stored(seed: int, n_heads: int) -> tuple[pd.DataFrame, pd.DataFrame, dict, dict]:
    """Ablation effects, head outputs, attention profiles and the circuit of a model of one layer, on six
    examples."""
    rng = np.random.default_rng(seed)
    names = [f"e-{i}" for i in range(6)]
    index = pd.MultiIndex.from_product([range(n_heads), names], names=["head", "example_id"])
    heads = index.to_frame(index=False).assign(layer=0)
    effects = pd.concat([heads[:6].assign(layer=-1, head=-1), heads], ignore_index=True)
    effects = effects.assign(group_id=effects["example_id"], logit_diff=rng.normal(size=len(effects)))
    features = heads.assign(z=list(rng.normal(size=(len(heads), 3))))
    profiles = {"layout": torch.tensor(rng.dirichlet(np.ones(3), size=(1, n_heads, 3)))}
    stages = {"first": [[0, 1]], "second": [[0, head] for head in range(n_heads) if head != 1]}
    circuit = {"heads": [[0, 1], [0, 2]], "model_hash": f"h{seed}", "role": "small", "stages": stages}
    return effects, features, profiles, circuit


@pytest.mark.parametrize("rule", RULES)
def test_the_nodes_map_by_the_settings(rule: str) -> None:
    settings = SETTINGS.model_copy(update={"rule": rule})
    sides = {"student": stored(1, 4), "teacher": stored(2, 5)}
    names = ("effects", "features", "profiles", "circuit")
    all_of = {f"{side}_{name}": value for side, values in sides.items() for name, value in zip(names, values)}
    values = settings.model_dump()
    heads = choose_heads(
        all_of["student_effects"], all_of["student_circuit"], **{name: values[name] for name in OF_HEADS}
    )
    compared = {name: value for name, value in all_of.items() if name.endswith(("effects", "profiles"))}
    compared |= {"teacher_circuit": all_of["teacher_circuit"], "heads": heads}
    controls = draw_controls(**compared, **{name: values[name] for name in OF_CONTROLS})
    made = map_heads(**all_of, heads=heads, controls=controls, settings=settings, ancestry=ANCESTRY)
    assert made["n_pairs"] == 2 - len(made["refused"]) == 2
    assert made["n_student_heads_total"] == 4  # half of the heads are relevant
    assert {tuple(pair["teacher"]) for pair in made["pairs"]} <= {(0, 1), (0, 2)}
    assert made["parameters"] == values
    assert made["hashes"] == {"student": "h1", "teacher": "h2"} == controls["hashes"]
    others = draw_other_roles(made, all_of["teacher_circuit"], all_of["teacher_profiles"], 3)
    of_other_stage = {(0, 1): [0, 2], (0, 2): [0, 1]}
    assert [pair["teacher"] for pair in others["pairs"]] == [
        of_other_stage[tuple(pair["teacher"])] for pair in made["pairs"]
    ]


def test_each_mapping_reads_its_own_settings() -> None:
    wanted = {"map_heads": "params:mapping"}
    wanted |= dict.fromkeys(("map_by_function", "score_rules"), "params:function_mapping")
    for node in create_pipeline().nodes:
        read = {name for name in node.inputs if name in {*wanted.values(), "params:mapping.rule"}}
        assert read == {wanted[name] for name in [node.name.rpartition(".")[2]] if name in wanted}


def test_the_mapping_knows_the_ancestry_of_loaded_students_too() -> None:
    grid.select("entity", loaded=True)
    try:
        assert "base.ancestry" in {name for node in create_pipeline().nodes for name in node.inputs}
    finally:
        grid.select("entity")
