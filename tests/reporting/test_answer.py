from __future__ import annotations

import pandas as pd
import pytest
from synthetic import LABELS

from circuit_distillation.reporting.answer import answer_rows, headline
from circuit_distillation.reporting.significance import PROPOSED


def outcomes_of(*outcomes: tuple[float, float], **changes) -> pd.DataFrame:
    """Significance rows of circuit_ce, one seed each, from (difference, corrected p)."""
    row = {
        "task": "entity",
        "experiment": "paper",
        "student": "small",
        "comparison": f"{PROPOSED} vs circuit_ce",
    }
    row |= {"scope": "full", **changes}
    return pd.DataFrame(
        [
            {
                **row,
                "seed": k,
                "difference": d,
                "difference_low": d - 0.01,
                "difference_high": d + 0.01,
                "p_holm": p,
            }
            for k, (d, p) in enumerate(outcomes)
        ]
    )


@pytest.mark.parametrize(
    ("outcomes", "start"),
    [
        ([(0.02, 0.01)], "Yes, in every test"),
        ([(0.02, 0.01), (0.01, 0.3)], "In part"),
        ([(0.01, 0.3)], "Not shown"),
        ([(-0.02, 0.01)], "No, it is worse"),
        ([(-0.02, 0.01), (0.01, 0.9)], "No:"),
        ([(-0.02, 0.01), (0.02, 0.01)], "It depends"),
    ],
)
def test_the_headline_follows_from_the_tests(outcomes, start: str) -> None:
    assert headline(answer_rows(outcomes_of(*outcomes), LABELS, "paper")).startswith(start)


def test_the_headline_counts_only_the_main_comparison() -> None:
    other = [
        outcomes_of((0.2, 0.001), scope="circuit"),
        outcomes_of((0.2, 0.001), comparison=f"{PROPOSED} vs full_ce"),
    ]
    rows = answer_rows(pd.concat([outcomes_of((0.01, 0.9)), *other]), LABELS, "paper")
    assert "better than CE alone in 0 of 1 test " in headline(rows)
    assert "no answer" in headline(answer_rows(pd.concat(other), LABELS, "paper"))


def test_one_seed_gives_an_interval_and_several_give_counts() -> None:
    (one,) = answer_rows(outcomes_of((0.02, 0.01)), LABELS, "paper")
    assert (one["gain"], one["verdict"], one["p_holm"]) == (0.02, "better", 0.01)
    assert (one["low"], one["high"]) == pytest.approx((0.01, 0.03))
    assert (one["student"], one["paper_gain"]) == ("Base-Tiny-S", 0.04)
    (three,) = answer_rows(outcomes_of((0.02, 0.01), (-0.03, 0.02), (0.01, 0.5)), LABELS, "paper")
    assert three["low"] is None and three["gain"] == pytest.approx(0.0)
    assert three["verdict"] == "better in 1, worse in 1, undecided in 1 of 3 seeds"
    (lost,) = answer_rows(outcomes_of((-0.02, 0.01)), LABELS, "paper")
    assert lost["verdict"] == "worse"
    (open_,) = answer_rows(outcomes_of((0.02, 0.2)), LABELS, "paper")
    assert open_["verdict"] == "no significant difference"


def test_other_rivals_experiments_and_tasks() -> None:
    rivals = outcomes_of((0.2, 0.001), comparison=f"{PROPOSED} vs base")
    elsewhere = outcomes_of((0.2, 0.001), experiment="lambda05")
    assert answer_rows(pd.concat([rivals, elsewhere]), LABELS, "paper") == []
    (row,) = answer_rows(outcomes_of((0.2, 0.001), task="third"), LABELS, "paper")
    assert row["paper_gain"] is None and row["task"] == "third"
