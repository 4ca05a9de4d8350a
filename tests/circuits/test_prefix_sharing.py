from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuit_distillation.circuits.prefix_sharing import share_beginnings


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 8), st.integers(1, 3), st.integers(0, 10**6), st.integers(1, 40))
def test_every_prompt_is_covered_once_and_spelled_as_given(
    n: int, t: int, words: int, seed: int, part: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, words, (n, t), generator=generator)
    lengths = torch.randint(1, t + 1, (n,), generator=generator)
    seen = []
    for batch in share_beginnings(ids, lengths):
        assert batch.n_run <= batch.examples.numel() * batch.n_tokens
        for piece in batch.split(part):
            assert piece.n_run <= part or piece.examples.numel() == 1
            for row, examples in enumerate(piece.examples.tolist()):
                for column, example in enumerate(examples):
                    whole = torch.cat((piece.beginnings[row], piece.endings[row, column]))
                    assert torch.equal(whole, ids[example, : lengths[example]])
                    seen.append(example)
    assert sorted(seen) == list(range(n))


def test_scenes_with_seven_queries_are_run_once() -> None:
    scenes = torch.arange(3)[:, None] * 100 + torch.arange(50)
    queries = 1000 + torch.arange(3 * 7 * 4).view(21, 4)
    ids = torch.cat((scenes.repeat_interleave(7, dim=0), queries), dim=1)[torch.randperm(21)]
    (batch,) = share_beginnings(ids, torch.full((21,), 54))
    assert batch.beginnings.shape == (3, 50) and batch.endings.shape == (3, 7, 4)


def test_limits_bound_what_is_shared() -> None:
    ids = torch.zeros(4, 10, dtype=torch.long)
    (batch,) = share_beginnings(ids, torch.full((4,), 10), torch.tensor([5, 3, 9, 9]))
    assert batch.beginnings.shape == (1, 3)
