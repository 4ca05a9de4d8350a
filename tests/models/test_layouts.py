"""Layouts split by length, drop padding and keep every row once."""

import pytest
import torch

from circuit_distillation.models.encoding import Encoded
from circuit_distillation.models.layouts import layouts, paired_layouts


def encoded(lengths: list[int]) -> Encoded:
    longest, n = max(lengths), len(lengths)
    mask = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    ids = torch.arange(n)[:, None] * 100 + torch.arange(longest)
    return Encoded(ids, mask, {"last": mask.sum(1) - 1}, torch.arange(n), torch.arange(2 * n).view(n, 2))


def test_rows_of_one_length_stand_together_without_padding():
    parts = layouts(encoded([3, 5, 3]))
    assert list(parts) == [3, 5]
    assert parts[3].rows.tolist() == [0, 2] and parts[5].rows.tolist() == [1]
    assert parts[3].encoded.input_ids.tolist() == [[0, 1, 2], [200, 201, 202]]
    assert parts[3].encoded.positions["last"].tolist() == [2, 2]
    assert parts[5].encoded.answer_ids.tolist() == [1] and parts[5].encoded.candidate_ids.tolist() == [[2, 3]]


def test_a_layout_without_reference_prompts_is_an_error():
    assert [ours.rows.tolist() for ours, _ in paired_layouts(encoded([3, 4]), encoded([4, 3]))] == [[0], [1]]
    with pytest.raises(ValueError, match="no prompt of 5 tokens"):
        paired_layouts(encoded([3, 5]), encoded([3, 4]))
