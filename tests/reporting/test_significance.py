from __future__ import annotations

import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from synthetic import predictions

from circuit_distillation.reporting.significance import (
    COLUMNS,
    RIVALS,
    significance_table,
)

RUN = dict(task="entity", seed=1, experiment="paper")
ACCURACY = {
    "base": 0.5,
    "circuit_ce": 0.6,
    "full_ce": 0.7,
    "circuit_ce_rand_cka": 0.4,
    "circuit_ce_align_cka": 0.8,
}


@pytest.fixture
def stored() -> dict[str, pd.DataFrame]:
    return {
        f"{student}.{arm}": predictions(accuracy=accuracy, seed=k)
        for student in ("small", "medium")
        for k, (arm, accuracy) in enumerate(ACCURACY.items())
    }


def test_all_tests_of_a_run_agree_with_statsmodels(stored) -> None:
    table = significance_table(stored, **RUN)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 2 * len(RIVALS) * 2
    assert (table[["task", "seed", "experiment"]].drop_duplicates().values.tolist()) == [
        ["entity", 1, "paper"]
    ]
    for row in table.itertuples():
        rival = row.comparison.removeprefix("circuit_ce_align_cka vs ")
        a = stored[f"{row.student}.{rival}"][f"{row.scope}_correct"]
        b = stored[f"{row.student}.circuit_ce_align_cka"][f"{row.scope}_correct"]
        counts = (
            pd.crosstab(a, b).reindex(index=[False, True], columns=[False, True], fill_value=0).to_numpy()
        )
        assert (row.n01, row.n10, row.n) == (counts[0, 1], counts[1, 0], 84)
        assert row.p == pytest.approx(float(mcnemar(counts, exact=True).pvalue), abs=1e-9)
        assert row.difference == pytest.approx(b.mean() - a.mean())
        assert row.difference_low <= row.difference <= row.difference_high
        assert row.odds_ratio_low <= row.odds_ratio <= row.odds_ratio_high
    assert table["p_holm"].tolist() == pytest.approx(multipletests(table["p"], method="holm")[1].tolist())
    assert (table["difference"] > 0).all()


def test_the_order_of_stored_rows_does_not_matter(stored) -> None:
    shuffled = {name: frame.sample(frac=1, random_state=3) for name, frame in stored.items()}
    assert significance_table(shuffled, **RUN).equals(significance_table(stored, **RUN))


def test_only_what_was_run_is_tested(stored) -> None:
    part = {name: stored[name] for name in ("small.circuit_ce_align_cka", "small.full_ce", "medium.base")}
    table = significance_table(part, **RUN)
    assert table["comparison"].tolist() == ["circuit_ce_align_cka vs full_ce"] * 2
    assert table["scope"].tolist() == ["full", "circuit"]
    nothing = significance_table({}, **RUN)
    assert nothing.empty and tuple(nothing.columns) == COLUMNS


def test_different_test_sets_are_an_error(stored) -> None:
    stored["small.base"] = stored["small.base"].iloc[:-7]
    with pytest.raises(ValueError, match="small.base and small.circuit_ce_align_cka"):
        significance_table(stored, **RUN)
