"""Corpora from data files in the forms of the hub."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from circuit_distillation.tasks import goat
from circuit_distillation.tasks.corpora import CORPORA, Corpus, read_corpus

# As in the hub's data set: the instruction is noisy, the input is the expression, the output shows the steps.
GOAT = [
    {
        "instruction": "Give me the product of 13 and 24.",
        "input": "13 * 24",
        "output": "13 * 24 = 24 * (10 + 3) = 24 * 10 + 24 * 3 = 240 + 72 = 312",
        "answer": "312",
    },
    {"instruction": "7x8", "input": "7 * 8", "output": "7 * 8 = 56", "answer": "56"},
    {"instruction": "9/0", "input": "9 / 0", "output": "9 / 0 is undefined", "answer": "undefined"},
]


def read(task: str, path: Path, n_train: int | None, seed: int = 0) -> Corpus:
    """The corpus of a file, ten contents held out."""
    settings = {"n_train": n_train, "n_heldout": 10, "max_digits": 17, "kinds": None}
    return read_corpus(CORPORA[task](**settings, source={"path": str(path)}), path, seed)


def test_goat_rows_become_prompts_of_its_training_and_contents_of_their_expression(tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps(GOAT))
    items = goat.load(tmp_path / "dataset.json")
    assert items[0].prompt == "Give me the product of 13 and 24.\nAnswer:"
    assert items[0].response == f" {GOAT[0]['output']}"
    assert [item.content for item in items] == ["13 * 24", "7 * 8", "9 / 0"]
    assert [item.kind for item in items] == ["mul", "mul", "div"]


def test_a_file_is_divided_by_content_whatever_the_seed(tmp_path):
    rows = [
        {"instruction": wording.format(k), "input": f"{k} + 1", "output": f"{k} + 1 = {k + 1}"}
        for k in range(60)
        for wording in ("{} + 1", "What is {} + 1?")
    ]
    path = tmp_path / "dataset.json"
    path.write_text("\n".join(json.dumps(row) for row in rows))  # JSON lines
    first, second = (read("entity", path, 50, seed) for seed in (0, 1))
    assert len(first.train) == 50 and len(first.unseen_problems) == 10 and not first.unseen_prompts
    assert first.unseen_problems == second.unseen_problems and first.train != second.train
    held = {item.content for item in first.unseen_problems}
    assert not held & {item.content for item in (*first.train, *second.train)}
    assert len(read("entity", path, None).train) == 100
    assert first == read("entity", path, 50)


def test_the_parquet_file_of_alpaca_is_read_as_its_json(tmp_path):
    rows = [{"instruction": f"Say {k}.", "input": "", "output": str(k)} for k in range(20)]
    (tmp_path / "alpaca_data.json").write_text(json.dumps(rows))
    pd.DataFrame(rows).to_parquet(tmp_path / "train.parquet")
    parts = [read("tom", tmp_path / name, None) for name in ("alpaca_data.json", "train.parquet")]
    assert parts[0] == parts[1] and parts[0].train[0].prompt.endswith("### Response:\n")
