"""The node of head mapping, from parameters and stored frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from circuit_distillation.parameters import HeadMapping
from circuit_distillation.pipelines.head_mapping.nodes import map_heads

PARAMETERS = {
    "student_form": "difference",
    "baseline": "student",
    "performance": "logit_diff",
    "rule": "nearest",
    "student_heads": "top_impact",
    "fraction": {"entity": 0.25, "tom": 0.5},
    "random_from": "circuit",
}


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


@pytest.mark.parametrize("rule", ["nearest", "one_to_one", "profile", "cka", "random"])
def test_the_node_maps_by_the_parameters_of_its_task(rule: str) -> None:
    parameters = HeadMapping(**PARAMETERS | {"rule": rule})
    made = map_heads(*stored(1, 4), *stored(2, 5), parameters, "tom", 7, {}, "mini")
    assert made["n_pairs"] == 2 and made["n_student_heads_total"] == 4  # half of the heads, as for tom
    assert {tuple(pair["teacher"]) for pair in made["pairs"]} <= {(0, 1), (0, 2)}
    assert made["parameters"] == PARAMETERS | {"rule": rule, "fraction": 0.5, "seed": 7}
    assert made["hashes"] == {"student": "h1", "teacher": "h2"}


def test_the_searched_share_of_heads_takes_the_place_of_the_declared_one() -> None:
    chosen = {"mini": {"tom": {"shared": {"fraction": 0.25}}}}
    made = map_heads(*stored(1, 4), *stored(2, 5), HeadMapping(**PARAMETERS), "tom", 7, chosen, "mini")
    assert made["n_pairs"] == 1 and made["parameters"]["fraction"] == 0.25
