"""The nodes of head mapping, from settings and stored frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from circuit_distillation.mapping.match import RULES
from circuit_distillation.mapping.settings import MappingSettings
from circuit_distillation.pipelines.head_mapping.nodes import choose_heads, draw_controls, map_heads
from circuit_distillation.pipelines.head_mapping.pipeline import OF_CONTROLS, OF_HEADS, create_pipeline

SETTINGS = MappingSettings(performance="logit_diff", fraction=0.5, seed=7)


def stored(seed: int, n_heads: int) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Ablation effects, head outputs and the circuit of a model of one layer, on six examples."""
    rng = np.random.default_rng(seed)
    names = [f"e-{i}" for i in range(6)]
    index = pd.MultiIndex.from_product([range(n_heads), names], names=["head", "example_id"])
    heads = index.to_frame(index=False).assign(layer=0)
    effects = pd.concat([heads[:6].assign(layer=-1, head=-1), heads], ignore_index=True)
    effects = effects.assign(group_id=effects["example_id"], logit_diff=rng.normal(size=len(effects)))
    features = heads.assign(z=list(rng.normal(size=(len(heads), 3))))
    return effects, features, {"heads": [[0, 1], [0, 2]], "model_hash": f"h{seed}", "role": "small"}


@pytest.mark.parametrize("rule", RULES)
def test_the_nodes_map_by_the_settings(rule: str) -> None:
    settings = SETTINGS.model_copy(update={"rule": rule})
    (effects, features, circuit), (others, outputs, teacher) = stored(1, 4), stored(2, 5)
    values = settings.model_dump()
    heads = choose_heads(effects, circuit, **{name: values[name] for name in OF_HEADS})
    chosen = {name: values[name] for name in OF_CONTROLS}
    controls = draw_controls(effects, others, teacher, heads, **chosen)
    made = map_heads(effects, features, others, outputs, teacher, heads, controls, settings)
    assert made["n_pairs"] == 2 and made["n_student_heads_total"] == 4  # half of the heads
    assert {tuple(pair["teacher"]) for pair in made["pairs"]} <= {(0, 1), (0, 2)}
    assert made["parameters"] == values
    assert made["hashes"] == {"student": "h1", "teacher": "h2"} == controls["hashes"]


def test_the_rule_is_given_to_the_mapping_alone() -> None:
    for node in create_pipeline().nodes:
        reads = {"params:mapping", "params:mapping.rule"} & set(node.inputs)
        assert bool(reads) == node.name.endswith("map_heads")
