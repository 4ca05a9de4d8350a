"""The memory bounds that the docstrings promise, measured by the allocator's own record."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from naive.allocations import peak_bytes
from naive.tiny_models import tiny_model, tiny_prompts

from circuit_distillation.circuits import block
from circuit_distillation.circuits.evaluation import circuits_outputs
from circuit_distillation.circuits.mean_ablation import head_effects, head_means
from circuit_distillation.circuits.path_patching import score_heads

N, T = 16, 16
BUDGETS_MB = (0.5, 2.0)
SCRATCH = 2**18


def _searches() -> dict[str, Callable[[float], object]]:
    model = tiny_model(n_layers=3)
    clean, corrupt = tiny_prompts(N, T, 1), tiny_prompts(N, T, 2)
    answers, means = clean[:, 3], head_means(model, clean)
    receivers = [(1, 0), (2, 3), (2, 1)]

    def patch(position: int, which: str | None) -> Callable[[float], object]:
        heads = None if which is None else receivers
        return lambda budget: score_heads(
            model,
            clean,
            corrupt,
            answers,
            position,
            receivers=heads,
            receiver_input=which,
            memory_budget_mb=budget,
        )

    return {
        "logits": patch(-1, None),
        "q": patch(-1, "q"),
        "v": patch(3, "v"),
        "everywhere": lambda budget: head_effects(model, clean, answers, means, memory_budget_mb=budget),
        "last": lambda budget: head_effects(
            model, clean, answers, means, positions=[-1], memory_budget_mb=budget
        ),
        "circuits": lambda budget: circuits_outputs(
            model, clean, [[(0, 1), (2, 2)], [(2, 0)]], means, memory_budget_mb=budget
        ),
    }


@pytest.mark.parametrize("search", ["logits", "q", "v", "everywhere", "last", "circuits"])
def test_the_budget_bounds_what_a_search_allocates(search: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(block.SCRATCH_BYTES, "cpu", SCRATCH)
    run = _searches()[search]
    results = 12 * 16 * 8 * 4  # the scores themselves, and copies while they are entered
    peaks = [peak_bytes(lambda budget=budget: run(budget)) for budget in BUDGETS_MB]
    for peak, budget in zip(peaks, BUDGETS_MB, strict=True):
        assert peak <= budget * 2**20 + SCRATCH + results
    assert peaks[1] > 1.5 * peaks[0]  # a larger budget is used
