from __future__ import annotations

import numpy as np
import pandas as pd
from synthetic import history

from circuit_distillation.reporting.curves import ce_figure, similarity_figure, smoothed


def test_ce_curves_show_both_arms_and_only_them() -> None:
    arms = {arm: history(arm) for arm in ("circuit_ce", "circuit_ce_align_cka", "full_ce")}
    axes = ce_figure(arms).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["CE only", "CE + Align CKA"]
    assert np.array_equal(axes.lines[0].get_ydata(), arms["circuit_ce"]["ce"])
    assert len(axes.lines) == 4 and axes.get_ylim()[0] == 0
    assert len(ce_figure({"circuit_ce": arms["circuit_ce"]}).axes[0].lines) == 2


def test_similarity_curves_show_pairs_mean_and_floor() -> None:
    frame = history("circuit_ce_align_cka")
    axes = similarity_figure(frame).axes[0]
    names = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert names == ["Each pair", "Mean of pairs", "Noise floor"]
    assert len(axes.lines) == 4 and axes.get_ylabel() == "CKA"
    assert np.array_equal(axes.lines[3].get_ydata(), frame["noise_floor"])
    assert len(similarity_figure(frame.assign(noise_floor=np.nan)).axes[0].lines) == 3
    axes = similarity_figure(frame.assign(measure="Procrustes similarity")).axes[0]
    assert axes.get_ylabel() == "Procrustes similarity"


def test_smoothing_is_a_centred_mean() -> None:
    values = pd.Series(np.random.default_rng(0).random(60))
    naive = [np.mean(values[max(0, i - 1) : i + 2]) for i in range(60)]
    assert np.allclose(smoothed(values), naive)
    assert smoothed(values[:5]).tolist() == values[:5].tolist()
