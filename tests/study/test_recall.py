"""Recall of matching rules against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from circuit_distillation.study.recall import gather, recall


def stored_scores() -> dict:
    """Three families of one student: equation 5 finds .2, .3 and .4, profiles .8, .8 and none."""
    stored = {}
    for seed, (paper, ours) in enumerate([(0.2, 0.8), (0.3, 0.8), (0.4, np.nan)]):
        rules = pd.DataFrame(
            {
                "rule": ["nearest", "attention_profile"],
                "label": ["eq. 5", "profile"],
                "ancestor_share": [paper, ours],
                "chance_ancestor": 0.1,
            }
        )
        stored[f"seed{seed}/entity/paper/small"] = lambda rules=rules: rules
    return stored


def rule_scores() -> pd.DataFrame:
    return gather(stored_scores())


def test_a_rule_that_does_not_apply_finds_no_head() -> None:
    found = recall(rule_scores()).set_index("rule")
    assert found["recall"].to_dict() == pytest.approx({"nearest": 0.3, "attention_profile": 1.6 / 3})
    assert np.isnan(found.loc["nearest", "p"])
    gains = [0.6, 0.5, -0.4]
    assert found.loc["attention_profile", "p"] == pytest.approx(stats.ttest_1samp(gains, 0).pvalue)


def test_scores_of_an_unknown_run_are_refused() -> None:
    with pytest.raises(ValueError, match="does not end in seed"):
        gather({"somewhere": pd.DataFrame})
