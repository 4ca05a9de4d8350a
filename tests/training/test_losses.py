"""The composite loss against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from circuit_distillation.similarity.cka import linear_cka
from circuit_distillation.training.losses import alignment_loss, gradient_share, label_loss


def test_cross_entropy_to_hard_and_soft_labels():
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])  # probabilities (1/4, 3/4) and (1/2, 1/2)
    assert label_loss(logits, torch.tensor([0, 1])).item() == pytest.approx((math.log(4) + math.log(2)) / 2)
    teacher = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])  # (1/2, 1/2) and (3/4, 1/4)
    expected = 0.5 * math.log(4) + 0.5 * math.log(4 / 3)
    assert label_loss(logits, teacher).item() == pytest.approx((expected + math.log(2)) / 2)


def test_soft_labels_have_the_gradient_of_kl():
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(3, 5, generator=generator) for _ in range(2))
    gradients = []
    for kind in ("ours", "kl"):
        leaf = student.clone().requires_grad_()
        loss = (
            label_loss(leaf, teacher)
            if kind == "ours"
            else torch.nn.functional.kl_div(
                leaf.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="batchmean"
            )
        )
        loss.backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)


def test_soft_labels_of_another_vocabulary_raise():
    with pytest.raises(ValueError, match="one vocabulary"):
        label_loss(torch.zeros(2, 4), torch.zeros(2, 5))


@pytest.fixture
def rows():
    """Student and teacher rows of two pairs; CKA is 3/4 for the first (9 / 12) and 1 for the second."""
    student = torch.tensor([[[0.0], [1.0], [2.0]], [[1.0], [5.0], [2.0]]], dtype=torch.float64)
    teacher = torch.tensor([[[0.0], [0.0], [3.0]], [[2.0], [10.0], [4.0]]], dtype=torch.float64)
    return student.requires_grad_(), teacher


def test_sum_and_mean_over_pairs(rows):
    summed, averaged = alignment_loss(*rows), alignment_loss(*rows, reduction="mean")
    assert summed.similarities.tolist() == pytest.approx([0.75, 1.0])
    assert (summed.loss.item(), averaged.loss.item()) == pytest.approx((0.25, 0.125))
    assert summed.skipped == 0


def test_pairs_are_those_of_linear_cka():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(3, 9, 4, generator=generator), torch.randn(3, 9, 6, generator=generator)
    for estimator in ("biased", "unbiased"):
        found = alignment_loss(student, teacher, estimator=estimator).similarities
        expected = torch.stack([linear_cka(x, y, estimator) for x, y in zip(student, teacher)])
        torch.testing.assert_close(found, expected)


def test_a_skipped_pair_counts_in_neither_the_sum_nor_the_mean(rows):
    student, teacher = rows
    teacher[1] = 3.0
    for reduction in ("sum", "mean"):
        term = alignment_loss(student, teacher, reduction=reduction)
        assert term.loss.item() == pytest.approx(0.25) and term.skipped == 1
        assert term.similarities.isnan().tolist() == [False, True]
    term.loss.backward()
    assert torch.isfinite(student.grad).all()


def test_too_few_rows_skip_all_pairs_and_leave_a_loss_without_effect(rows):
    term = alignment_loss(*rows, estimator="unbiased")  # three rows
    term.loss.backward()
    assert term.skipped == 2 and term.loss.item() == 0 and not rows[0].grad.any()


def test_procrustes_of_a_rotated_pair_is_free(rows):
    student, _ = rows
    assert alignment_loss(
        student, -2 * student.detach(), similarity="procrustes"
    ).loss.item() == pytest.approx(0)


def test_each_pair_has_the_rows_that_count_for_it(rows):
    student, teacher = rows
    counted = torch.tensor([[True, True, True], [True, True, False]])
    term = alignment_loss(student, teacher, counted=counted)
    alone = alignment_loss(student[1:, :2], teacher[1:, :2])
    assert term.similarities.tolist() == pytest.approx([0.75, alone.similarities.item()])
    none = alignment_loss(student, teacher, counted=counted & torch.tensor([[True], [False]]))
    assert none.skipped == 1 and none.loss.item() == pytest.approx(0.25)
    none.loss.backward()
    assert torch.isfinite(student.grad).all()


def test_the_share_of_a_term_is_that_of_its_gradient_norm():
    """∇ 3a + 4b has norm 5 over both parameters, ∇ 15c² at c = ½ norm 15; a parameter may be in neither."""
    a, b, c, unused = (torch.tensor(value, requires_grad=True) for value in (1.0, 2.0, 0.5, 7.0))
    parameters = [a, b, c, unused]
    assert gradient_share(3 * a + 4 * b, 15 * c * c, parameters) == pytest.approx(5 / 20)
    assert gradient_share(15 * c * c, 3 * a + 4 * b, parameters) == pytest.approx(15 / 20)
    assert math.isnan(gradient_share(0 * a, 0 * c, parameters))
    assert all(parameter.grad is None for parameter in parameters)
