"""How far would a circuit change with other prompts, limits or phrasings? From stored scores alone.

The scores of every prompt are stored (`search.find_circuit`), so heads can be chosen again without a forward.
Two things stay as they were on all prompts: the receivers for which the scores of a stage were measured, and
pruning, which needs forwards. So the circuits that are compared here are those before pruning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

N_REDRAWS = 1000
N_PARTITIONS = 20
FACTORS = (0.5, 1.0, 2.0)  # of each limit, in every combination
TAILS = (0.025, 0.975)
ANY = "any"  # a head in whatever stage


@dataclass(frozen=True)
class Limits:
    """Which heads a stage keeps, as in `settings.Stage`."""

    n_heads: int
    min_drop: float = 0.0
    z: float = 0.0

    def scaled(self, n_heads: float, min_drop: float, z: float) -> Limits:
        """Each limit times a factor; at least one head."""
        return Limits(max(1, round(self.n_heads * n_heads)), self.min_drop * min_drop, self.z * z)


def limits_of(circuit: Mapping[str, Any]) -> dict[str, Limits]:
    """The limits of every stage of a stored circuit; a ranking keeps as many heads as it did."""
    if stages := circuit["parameters"]["stages"]:
        return {stage["name"]: Limits(stage["n_heads"], stage["min_drop"], stage["z"]) for stage in stages}
    return {name: Limits(len(heads)) for name, heads in circuit["stages"].items()}


def stability(
    scores: pd.DataFrame, circuit: Mapping[str, Any], *, n_redraws: int = N_REDRAWS, seed: int = 0
) -> tuple[pd.DataFrame, dict[str, float]]:
    """(heads, summary) of a circuit, from the `scores` of every prompt that `search.find_circuit` returns.

    Heads: stage, layer, head, `chosen` (on all prompts, before pruning), `in_circuit` (after it), and the
    share of circuits that the head enters over `redraws` of whole scenes, over `limits` that are scaled by
    FACTORS, and over `templates` one by one (NaN if there is one alone). Stage "any" is a head in whatever
    stage.

    Summary: the Jaccard index with the circuit on all prompts over redraws (mean, and the 95 % range of the
    redraws) and over limits (mean); its mean between templates, and between parts of as many scenes drawn at
    random, which says what is lost to few prompts alone.
    """
    read = _Scores(scores)
    limits, rng = limits_of(circuit), np.random.default_rng(seed)
    every = np.ones((1, read.n_groups))
    drawn = rng.multinomial(read.n_groups, every[0] / read.n_groups, size=n_redraws).astype(np.float64)
    whole, redrawn = read.chosen(limits, every), read.chosen(limits, drawn)
    scaled = [
        read.chosen({name: one.scaled(*factors) for name, one in limits.items()}, every)
        for factors in product(FACTORS, repeat=3)
    ]
    limited = np.concatenate(scaled, axis=1)
    overlap = jaccard(_union(redrawn), _union(whole))
    low, high = np.quantile(overlap, TAILS)
    summary = {"redraws": float(overlap.mean()), "redraws_low": float(low), "redraws_high": float(high)}
    summary["limits"] = float(jaccard(_union(limited), _union(whole)).mean())
    shares = {"redraws": _shares(redrawn), "limits": _shares(limited)}
    shares["templates"] = np.full_like(shares["redraws"], np.nan)
    if len(read.templates) > 1:
        apart = read.chosen(limits, read.templates)
        shares["templates"] = _shares(apart)
        summary["between_templates"] = _between(_union(apart))
        partitions = [read.templates[:, rng.permutation(read.n_groups)] for _ in range(N_PARTITIONS)]
        summary["between_parts"] = float(
            np.mean([_between(_union(read.chosen(limits, parts))) for parts in partitions])
        )
    return _frame(read, shares | {"chosen": _shares(whole) > 0}, circuit), summary


def jaccard(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Heads in both over heads in either, along the last axis; 1 where neither has any."""
    either = (a | b).sum(-1)
    return np.where(either == 0, 1.0, (a & b).sum(-1) / np.maximum(either, 1))


class _Scores:
    """Sums of scores by scene, from which any weighting of scenes has its means and standard errors."""

    def __init__(self, scores: pd.DataFrame):
        by_head = scores.groupby(["stage", "layer", "head"], sort=False, observed=True)
        self.stages = list(dict.fromkeys(scores["stage"]))
        self.heads = list(dict.fromkeys(zip(scores["layer"], scores["head"], strict=True)))
        one = next(iter(by_head))[1]
        names, group = np.unique(one["group_id"].to_numpy(str), return_inverse=True)
        self.n_groups = len(names)
        shape = (len(self.stages), len(self.heads), len(one))
        values = scores["score"].to_numpy(np.float64).reshape(shape)
        onto = np.eye(self.n_groups)[group]  # [example, group]
        self.sizes = onto.sum(0)
        self.sums, self.squares = values @ onto, values**2 @ onto  # [stage, head, group]
        template = one["template"].to_numpy(str)
        # [template, group]: every scene has one template.
        self.templates = np.stack(
            [(onto[template == name].sum(0) > 0).astype(np.float64) for name in dict.fromkeys(template)]
        )

    def chosen(self, limits: Mapping[str, Limits], weights: NDArray) -> NDArray[np.bool_]:
        """Whether each stage keeps each head, [stage, row, head], for `weights` of scenes [row, group]."""
        n = weights @ self.sizes  # [row]
        mean = np.einsum("rg,shg->srh", weights, self.sums) / n[:, None]
        square = np.einsum("rg,shg->srh", weights, self.squares) / n[:, None]
        # As `discovery.select_heads`: the standard error of a mean over n examples.
        stderr = np.sqrt(np.maximum(square - mean**2, 0) / np.maximum(n - 1, 1)[:, None])
        kept = np.zeros(mean.shape, dtype=bool)
        for index, stage in enumerate(self.stages):
            limit = limits[stage]
            passing = mean[index] < -limit.min_drop
            if limit.z > 0:
                passing &= mean[index] < -limit.z * stderr[index]
            order = np.where(passing, mean[index], np.inf).argsort(-1, kind="stable")[:, : limit.n_heads]
            np.put_along_axis(kept[index], order, True, axis=-1)
            kept[index] &= passing
        return kept


def _shares(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of rows in which each stage, and in the end any, keeps each head: [stage + 1, head]."""
    return np.concatenate([kept, kept.any(0, keepdims=True)]).mean(1)


def _union(kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Circuits of all stages, [row, head], of [stage, row, head]."""
    return np.asarray(kept.any(axis=0))


def _between(circuits: NDArray[np.bool_]) -> float:
    """Mean Jaccard index of all pairs of circuits [circuit, head]."""
    return float(np.mean([jaccard(a, b) for a, b in combinations(circuits, 2)]))


def _frame(read: _Scores, columns: Mapping[str, NDArray], circuit: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    kept = {(stage, *head) for stage, heads in circuit["stages"].items() for head in heads}
    kept |= {(ANY, *head) for head in circuit["heads"]}
    rows = [(stage, *head) for stage in (*read.stages, ANY) for head in read.heads]
    frame = pd.DataFrame(rows, columns=["stage", "layer", "head"])
    return frame.assign(
        **{name: values.flatten() for name, values in columns.items()},
        in_circuit=[row in kept for row in rows],
    )
