from __future__ import annotations

import pytest

from circuit_distillation.arms import row_name

LABELS = {"small": "1B", "medium": "3B", "large": "8B"}


@pytest.mark.parametrize(
    ("task", "role", "arm", "expected"),
    [
        ("entity", "small", "base", ("Baselines", "Base-1B", "")),
        ("entity", "large", "tuned", ("Baselines", "GOAT-8B", "CE")),
        ("tom", "large", "tuned", ("Baselines", "Base-8B-Alpaca", "CE")),
        ("tom", "medium", "instruct", ("Baselines", "Base-3B-Instruct", "")),
        ("entity", "large", "tuned_corpus", ("Baselines", "GOAT-8B (corpus alone)", "CE")),
        ("tom", "small", "full_ce", ("Fully Distilled", "Base-1B", "CE")),
        ("tom", "small", "circuit_align_cka", ("Circuit Distilled", "Base-1B", "Align CKA")),
        ("entity", "medium", "circuit_ce_rand_cka", ("Circuit Distilled", "Base-3B", "CE + Rand CKA")),
        ("entity", "medium", "goat_circuit_ce", ("Circuit Distilled", "Base-3B (GOAT-style)", "CE")),
        ("entity", "large", "tuned_discovered", ("Discovered circuits", "GOAT-8B", "CE")),
        ("tom", "small", "base_discovered", ("Discovered circuits", "Base-1B", "")),
        ("entity", "small", "full_kl", ("Beyond the paper", "Base-1B", "KL, all weights")),
        ("entity", "small", "circuit_of_mine", ("Beyond the paper", "Base-1B", "circuit_of_mine")),
    ],
)
def test_rows_are_named_as_in_the_paper(
    task: str, role: str, arm: str, expected: tuple[str, str, str]
) -> None:
    assert row_name(task, role, arm, LABELS) == expected


def test_a_role_without_label_is_an_error() -> None:
    with pytest.raises(ValueError, match="small, medium, large"):
        row_name("entity", "huge", "base", LABELS)
