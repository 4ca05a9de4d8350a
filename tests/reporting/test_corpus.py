from __future__ import annotations

import pandas as pd
import pytest
from synthetic import LABELS

from circuit_distillation.reporting.corpus import TUNED_MODELS, corpus_rows
from circuit_distillation.reporting.facts import run_facts


def facts(seed: int, experiment: str, exact: float) -> pd.DataFrame:
    """The facts of a run whose teacher has this exact accuracy; the others have none of it."""
    scores = {"corpus_exact": exact, "corpus_guess": 0.1, "corpus_token_accuracy": 0.9, "corpus_n": 40}
    none = {**scores, "corpus_exact": 0.0}
    models = {"large": scores, "corpus_only": none}
    record = {"models": {name: {"corpus": {"unseen_prompts": value}} for name, value in models.items()}}
    return run_facts(task="tom", seed=seed, experiment=experiment, mappings={}, groups={TUNED_MODELS: record})


def test_the_teacher_and_the_teacher_on_the_corpus_alone_are_rows_beside_guessing() -> None:
    frame = pd.concat([facts(0, "paper", 0.5), facts(0, "other", 0.5), facts(1, "paper", 0.9)])
    teacher, alone = corpus_rows(frame, LABELS, {"tom": 0.5})
    assert (teacher["model"], alone["model"]) == ("Base-Tiny-L-Alpaca", "Base-Tiny-L-Alpaca (corpus alone)")
    # a seed counts once, however many experiments share its models
    assert teacher["exact"] == pytest.approx(0.7)
    assert (teacher["guess"], teacher["n"], teacher["share"]) == (pytest.approx(0.1), 40, 0.5)
    assert (alone["exact"], alone["share"]) == (0, 0)


def test_a_record_without_a_guess_leaves_it_open_and_no_record_gives_no_rows() -> None:
    frame = facts(0, "paper", 0.5)
    (row, _) = corpus_rows(frame[~frame["name"].str.endswith("corpus_guess")], LABELS, {})
    assert row["guess"] is None and row["share"] is None
    assert corpus_rows(frame[:0], LABELS, {}) == []
