"""A bundle is whole, says what it is, registers without a copy, and is pushed only if asked."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import huggingface_hub
import mlflow
import pandas as pd
import pytest
import torch
from kedro.io.core import DatasetError
from naive.prompts import tiny_checkpoint
from transformers import AutoModelForCausalLM, AutoTokenizer

from circuit_distillation.datasets.bundle import BundleDataset
from circuit_distillation.datasets.fingerprints import FingerprintsDataset
from circuit_distillation.parameters.looks import Publishing
from circuit_distillation.pipelines.bundle.nodes import make_bundle, publish_bundle
from circuit_distillation.pipelines.bundle.registry import register
from circuit_distillation.reporting.model_card import reproduce_command
from circuit_distillation.tasks import get_task

RUN = {"task": "entity", "seed": 0, "training_seed": 2, "experiment": "lambda5"}
STUDENT = "small.circuit_ce_align_cka"
ROLES = {name: {"name": name, "label": label} for name, label in (("small", "S"), ("large", "L"))}
PAIR = {"student": [0, 1], "teacher": [1, 2]}


def predictions(right: int) -> pd.DataFrame:
    """Ten scenes of two prompts, of which the first `right` are answered rightly."""
    correct = [index < right for index in range(20)]
    names = [f"e{index:02d}" for index in range(20)]
    groups = [f"g{index // 2}" for index in range(20)]
    return pd.DataFrame(
        {"example_id": names, "group_id": groups, "full_correct": correct, "circuit_correct": correct}
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    checkpoint = tiny_checkpoint(get_task("entity", n_boxes=2))
    made = make_bundle(
        checkpoint, {"epochs": 3}, {"student_heads": [[0, 1]], "n_student_heads_total": 8}, {"pairs": [PAIR]},
        {"heads": [[1, 2]]}, predictions(15), predictions(10), predictions(20), {"a": {"fingerprint": "f"}},
        {"name": "mini", "roles": ROLES, "models": None}, 256,
        {"env": "test", "params": {"task": "entity", "data_root": "/x", "distillation": {"cka_weight": 5}}},
        STUDENT, **RUN,
    )  # fmt: skip
    dataset = BundleDataset(str(tmp_path_factory.mktemp("bundles") / "one"))
    assert not dataset.exists()
    dataset.save(made)
    assert dataset.exists()
    return dataset.load(), checkpoint, dataset


def test_the_student_is_read_by_transformers_alone(folder) -> None:
    path, checkpoint, _ = folder
    model, tokenizer = AutoModelForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    ids = tokenizer("The key is in Box A", return_tensors="pt").input_ids
    expected = checkpoint.model(ids).logits
    torch.testing.assert_close(model(ids).logits, expected, check_dtype=False, rtol=0, atol=1e-5)


def test_the_card_has_results_with_intervals_and_the_command(folder) -> None:
    path, _, _ = folder
    card = (path / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\n") and "value: 0.7500" in card
    assert re.search(r"\| this student \| full model \| 0\.750 \| 0\.\d{3} to \d\.\d{3} \|", card)
    assert "| the teacher | circuit alone | 1.000 |" in card
    assert "Gain over the base student, full models: +0.250 (+0." in card
    assert (
        "1 of 8 heads were trained; all other" in card
        and "1 pairs of heads; each student head with the" in card
    )
    command = (path / "reproduce.sh").read_text().splitlines()[1]
    assert command in card and command == (
        f"kedro run --env test --to-outputs {STUDENT}.predictions --params "
        "task=entity,seed=0,training_seed=2,experiment=lambda5,distillation.cka_weight=5"
    )
    assert json.loads((path / "mapping.json").read_text()) == {"pairs": [PAIR]}
    assert len(pd.read_parquet(path / "predictions.parquet")) == 20
    assert "/x" not in card


def test_a_bundle_that_was_changed_is_named(folder) -> None:
    path, _, dataset = folder
    text = (path / "settings.json").read_text()
    (path / "settings.json").write_text(text + " ")
    with pytest.raises(DatasetError, match="checksum of settings.json differs"):
        dataset.load()
    (path / "settings.json").write_text(text)


def test_lists_and_switches_come_back_as_the_command_line_has_them() -> None:
    given = {
        "distillation.extra_arms": ["full_kl", "layer_cka"],
        "distillation.sharded": True,
        "heads.arms": "a",
    }
    command = reproduce_command(RUN | {"role": "small", "arm": "full_kl"}, given, None)
    assert command.endswith("distillation.extra_arms=full_kl+layer_cka,distillation.sharded=true")


def test_nothing_is_pushed_unless_asked(folder, monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda **_: pytest.fail("the hub was called"))
    found = publish_bundle(folder[0], Publishing(push=False, repo="me/it", private=True))
    assert not found["pushed"] and "README.md" in found["files"]
    with pytest.raises(ValueError, match="bundle.repo=owner/name"):
        Publishing(push=True, repo=None, private=True)


def test_a_push_needs_a_token_and_gives_one_line_if_the_hub_refuses(folder, monkeypatch) -> None:
    wanted, asked = Publishing(push=True, repo="me/it", private=True), []
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(ValueError, match="set HF_TOKEN"):
        publish_bundle(folder[0], wanted)
    monkeypatch.setenv("HF_TOKEN", "secret")

    def refuse(repo: str, **options) -> None:
        raise OSError("no such name for secret\nand more")

    api = SimpleNamespace(create_repo=refuse, upload_folder=None)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda token: api)
    with pytest.raises(ValueError, match=r"not taken me/it \(no such name for \.\.\.\): check") as caught:
        publish_bundle(folder[0], wanted)
    assert "\n" not in str(caught.value)
    api.create_repo = lambda repo, **options: asked.append((repo, options["private"]))
    api.upload_folder = lambda **options: f"https://hub/{options['repo_id']}"
    assert publish_bundle(folder[0], wanted)["url"] == "https://hub/me/it" and asked == [("me/it", True)]


def test_a_student_is_registered_with_its_card_and_no_copy(folder, tmp_path) -> None:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    try:
        run = {**RUN, "student": STUDENT}
        names = [register(folder[0], run, {"full": 0.75}) for _ in range(2)]
        name = f"circuit_distillation.entity.{STUDENT}"
        assert [one["version"] for one in names] == [1, 2] and names[0]["name"] == name
        version = mlflow.MlflowClient().get_model_version(name, "2")
    finally:
        mlflow.set_tracking_uri(before)
    assert version.source == folder[0].resolve().as_uri() and version.tags["full_accuracy"] == "0.7500"
    assert (
        version.description.startswith("# entity-seed0-lambda5.training2-small")
        and "Results" in version.description
    )


def test_records_are_found_by_the_artifacts_they_are_of(tmp_path) -> None:
    for place in ("06/a/.fingerprints/x.json", "06/b/.fingerprints/x.json"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text('{"of": 1}')
    dataset = FingerprintsDataset(str(tmp_path), patterns=["06/a/.fingerprints/*.json", "07/*"])
    assert dataset.load() == {"06/a/x": {"of": 1}} and dataset.exists()
