"""Where memory ends the work goes on in smaller parts, with the same results."""

from __future__ import annotations

import pytest
import torch
from naive.tiny_models import tiny_model

from circuit_distillation.circuits.evaluation import circuits_outputs
from circuit_distillation.circuits.mean_ablation import head_effects, head_means
from circuit_distillation.compute.halving import is_out_of_memory, within_memory

IDS = torch.randint(0, 20, (12, 6), generator=torch.Generator().manual_seed(0))
GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
CPU = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")


@pytest.mark.parametrize("error", [GPU, CPU, MemoryError()], ids=["gpu", "cpu", "python"])
def test_the_size_is_halved_until_it_fits_and_each_time_logged(error, caplog) -> None:
    tried = []

    def work(size: float) -> str:
        tried.append(size)
        if size > 16:
            raise error
        return "done"

    assert within_memory("the search", 64, "prompts", work) == "done"
    assert tried == [64, 32, 16]
    assert [record.getMessage() for record in caplog.records] == [
        f"out of memory in the search: going on with {size} prompts at a time" for size in (32, 16)
    ]


def test_one_at_a_time_is_the_end_and_other_errors_are_not_tried_again() -> None:
    tried = []

    def work(size: float) -> None:
        tried.append(size)
        raise GPU if size < 3 else ValueError("shapes")

    with pytest.raises(ValueError, match="shapes"):
        within_memory("the search", 4, "prompts", work)
    with pytest.raises(torch.OutOfMemoryError):
        within_memory("the search", 2, "prompts", work)
    assert tried == [4, 2, 1] and not is_out_of_memory(RuntimeError("size mismatch"))


@pytest.fixture
def model():
    return tiny_model(n_layers=2).double()


def test_means_are_the_same_in_smaller_batches(model, monkeypatch) -> None:
    from circuit_distillation.circuits import mean_ablation

    whole, states = head_means(model, IDS), mean_ablation.layer_states

    def few(model, ids):
        if len(ids) > 3:
            raise GPU
        return states(model, ids)

    monkeypatch.setattr(mean_ablation, "layer_states", few)
    assert torch.allclose(head_means(model, IDS), whole, atol=1e-12)


@pytest.mark.parametrize("what", ["effects", "circuits"])
def test_sweeps_are_the_same_within_less_memory(model, what, monkeypatch, caplog) -> None:
    from circuit_distillation.circuits import evaluation, mean_ablation

    means = head_means(model, IDS)
    answers = IDS[:, 0]
    mask = torch.rand(3, 2, model.config.num_attention_heads) > 0.5

    def run():
        if what == "effects":
            return head_effects(model, IDS, answers, means).log_prob
        return circuits_outputs(model, IDS, mask, means, answer_ids=answers).log_prob

    module = mean_ablation if what == "effects" else evaluation
    whole, budgets, split = run(), [], module.within_memory

    def scarce(name, size, unit, work):
        def limited(size):
            budgets.append(size)
            if size > 1:
                raise GPU
            return work(0.001)

        return split(name, size, unit, limited)

    monkeypatch.setattr(module, "within_memory", scarce)
    assert torch.allclose(run(), whole, atol=1e-12)
    assert budgets[0] == 1024 and budgets[-1] == 1 and "out of memory in" in caplog.text
