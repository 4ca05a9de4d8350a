"""Circuits chosen again from stored scores, against `select_heads` on the prompts written out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch

from circuit_distillation.circuits.discovery import select_heads
from circuit_distillation.circuits.stability import ANY, FACTORS, Limits, _Scores, limits_of, stability

SHAPE = (2, 3, 24)  # layers, heads, prompts
STAGES = [
    {"name": "first", "n_heads": 2, "min_drop": 0.1, "z": 2.0},
    {"name": "second", "n_heads": 3, "min_drop": 0.0, "z": 0.0},
]
CIRCUIT = {
    "parameters": {"stages": STAGES},
    "stages": {"first": [[0, 0]], "second": [[1, 2]]},
    "heads": [[0, 0], [1, 2]],
}


@pytest.fixture
def scores() -> pd.DataFrame:
    """Four prompts a scene; scenes differ more than prompts of one do, and the templates take turns."""
    generator = np.random.default_rng(3)
    n_layers, n_heads, n = SHAPE
    group = np.arange(n) // 4
    rows = []
    for stage, layer, head in product(("first", "second"), range(n_layers), range(n_heads)):
        drawn = generator.normal(-0.15, 0.2, size=6)[group] + generator.normal(0, 0.05, size=n)
        rows += [
            (stage, layer, head, f"e{i}", f"g{group[i]}", f"t{group[i] % 2}", score)
            for i, score in enumerate(drawn)
        ]
    names = ["stage", "layer", "head", "example_id", "group_id", "template", "score"]
    return pd.DataFrame(rows, columns=names)


def effects(scores: pd.DataFrame, stage: str, prompts: list[int]) -> torch.Tensor:
    own = scores[scores["stage"] == stage]["score"].to_numpy().reshape(SHAPE)
    return torch.tensor(own[:, :, prompts])


def test_heads_are_those_that_the_search_keeps_on_the_prompts_of_a_redraw(scores) -> None:
    read, limits = _Scores(scores), limits_of(CIRCUIT)
    weights = np.random.default_rng(0).multinomial(6, [1 / 6] * 6, size=40)
    chosen = read.chosen(limits, weights.astype(float))
    for row, drawn in enumerate(weights):
        prompts = [i for group, times in enumerate(drawn) for i in [*range(4 * group, 4 * group + 4)] * times]
        for index, (stage, limit) in enumerate(limits.items()):
            kept = select_heads(effects(scores, stage, prompts), limit.n_heads, limit.min_drop, limit.z).heads
            found = [divmod(int(place), SHAPE[1]) for place in chosen[index, row].nonzero()[0]]
            assert sorted(kept) == found
    assert 0 < chosen.mean() < 1 and (chosen != chosen[:, :1]).any(), "the redraws differ"


def test_shares_and_overlaps_of_redraws_limits_and_templates(scores) -> None:
    heads, summary = stability(scores, CIRCUIT, n_redraws=200, seed=1)
    of_first = heads[heads["stage"] == "first"]
    every = [*range(SHAPE[2])]
    kept = select_heads(effects(scores, "first", every), 2, 0.1, 2.0).heads
    assert of_first.loc[of_first["chosen"], ["layer", "head"]].to_numpy().tolist() == [
        list(head) for head in sorted(kept)
    ]
    by_template = [[i for i in every if i // 4 % 2 == turn] for turn in (0, 1)]
    turns = [select_heads(effects(scores, "first", prompts), 2, 0.1, 2.0).heads for prompts in by_template]
    shares = [sum((la, he) in turn for turn in turns) / 2 for la, he in product(range(2), range(3))]
    assert of_first["templates"].tolist() == shares
    any_stage = heads[heads["stage"] == ANY].set_index(["layer", "head"])
    assert (any_stage["redraws"] >= of_first.set_index(["layer", "head"])["redraws"]).all()
    assert any_stage.index[any_stage["in_circuit"]].tolist() == [(0, 0), (1, 2)]
    assert 0 < summary["redraws_low"] <= summary["redraws"] <= summary["redraws_high"] <= 1
    assert {"limits", "between_templates", "between_parts"} <= set(summary)
    again, same = stability(scores, CIRCUIT, n_redraws=200, seed=1)
    assert again.equals(heads) and same == summary


def test_limits_are_scaled_one_by_one(scores) -> None:
    heads, _ = stability(scores, CIRCUIT, n_redraws=2)
    counts = dict.fromkeys(product(range(2), range(3)), 0)
    for n_heads, min_drop, z in product(FACTORS, repeat=3):
        limits = (max(1, round(2 * n_heads)), 0.1 * min_drop, 2.0 * z)
        for head in select_heads(effects(scores, "first", [*range(SHAPE[2])]), *limits).heads:
            counts[head] += 1
    found = heads[heads["stage"] == "first"]["limits"].tolist()
    assert found == pytest.approx([count / 27 for count in counts.values()])


def test_one_template_says_nothing_about_templates(scores) -> None:
    heads, summary = stability(scores.assign(template="t"), CIRCUIT, n_redraws=2)
    assert heads["templates"].isna().all() and "between_templates" not in summary


def test_a_ranking_keeps_as_many_heads_as_its_circuit_has() -> None:
    ranked = {"parameters": {"stages": []}, "stages": {"mean_ablation": [[0, 1], [1, 1]]}}
    assert limits_of(ranked) == {"mean_ablation": Limits(2)}
