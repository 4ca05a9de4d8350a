from __future__ import annotations

import pytest
import torch

from circuit_distillation.circuits.faithfulness import (
    completeness_masks,
    cpr_cmd,
    faithfulness,
    incompleteness,
    nested_circuits,
    normalised_faithfulness,
)
from circuit_distillation.models.architecture import Architecture

ARCH = Architecture(n_layers=2, n_heads=4, n_kv_heads=2, d_head=8, d_model=32, vocab_size=10)


def test_faithfulness_and_its_normalised_form() -> None:
    assert faithfulness(0.63, 0.7) == pytest.approx(0.9)
    assert normalised_faithfulness(-1.0, 0.0, -4.0) == pytest.approx(0.75)
    with pytest.raises(ValueError, match="above 0"):
        faithfulness(0.1, 0.0)
    with pytest.raises(ValueError, match="unlike the empty circuit"):
        normalised_faithfulness(0.1, 0.2, 0.2)


def test_nested_circuits_grow_along_the_ranking() -> None:
    ranking = [(1, 3), (0, 0), (1, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]
    masks = nested_circuits(ARCH, ranking, (0.01, 0.25, 0.5, 1.0))
    assert masks.flatten(1).sum(1).tolist() == [0, 2, 4, 8]
    assert masks[1].nonzero().tolist() == [[0, 0], [1, 3]]
    with pytest.raises(ValueError, match="each of the 8 heads"):
        nested_circuits(ARCH, ranking[:-1])


def test_cpr_and_cmd_by_hand() -> None:
    assert cpr_cmd([0.0, 1.0, 1.0], [0.0, 0.5, 1.0]) == pytest.approx((0.75, 0.25))
    # above 1 counts for CPR and against CMD
    assert cpr_cmd([2.0, 2.0], [0.0, 1.0]) == pytest.approx((2.0, 1.0))
    with pytest.raises(ValueError, match="rising"):
        cpr_cmd([0.0, 1.0], [0.5, 0.5])


def test_completeness_masks_remove_the_same_heads_from_both() -> None:
    circuit = torch.tensor([[True, True, False, False], [True, False, True, True]])
    ours, models = completeness_masks(circuit, 200, seed=0)
    assert not (ours & ~circuit).any()
    assert (models == (ours | ~circuit)).all()
    rate = ours[:, circuit].float().mean()
    assert 0.4 < rate < 0.6
    assert incompleteness(torch.tensor([0.5, 0.2]), torch.tensor([0.4, 0.5])).tolist() == pytest.approx(
        [0.1, 0.3]
    )
