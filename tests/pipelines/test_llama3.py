"""The llama3 environment from checkpoints on disk to the page, for both tasks, with stand-ins on the CPU."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from processors import needs_bfloat16_attention
from standins import (
    UNSEEN,
    train_bpe,
    train_sentencepiece,
    write_alpaca,
    write_checkpoint,
    write_family,
)
from transformers import MistralConfig, Qwen3Config

from circuit_distillation import grid
from circuit_distillation.fingerprints.plan import FRESH
from circuit_distillation.hooks.models import UnusableModelError
from circuit_distillation.models.loading import load_checkpoint
from circuit_distillation.pipelines.plan.nodes import CannotFitError
from circuit_distillation.reporting.tables import TABLES, paper_rows
from circuit_distillation.runner import ArtifactRunner
from circuit_distillation.status import planned, table

from .conftest import ROOT

STAGES = [
    {"name": "value_fetcher", "sender": "last", "n_heads": 5, "min_drop": 0.0, "z": 0.0},
    {
        "name": "position_transmitter",
        "sender": "last",
        "receivers": ["value_fetcher"],
        "receiver_input": "q",
        "n_heads": 3,
        "min_drop": 0.0,
        "z": 0.0,
    },
    {
        "name": "position_detector",
        "sender": "query_label",
        "receivers": ["position_transmitter"],
        "receiver_input": "v",
        "n_heads": 3,
        "min_drop": 0.0,
        "z": 0.0,
    },
]


BELIEF_LINES = {
    "true": "Noor sees the swap.;Is it oat or almond milk?;It is almond milk.;It is oat milk.",
    "false": "Noor does not look.;Is it oat or almond milk?;It is oat milk.;It is almond milk.",
}


def parameters(folder: Path, family: dict[str, dict[str, Path]], task: str) -> dict:
    """What makes a run of the llama3 environment small; all else is as shipped."""
    corpus = {"n_train": 96, "n_heldout": 16}
    tuning = {"epochs": 1, "batch_size": 32, "max_tokens": 200, "warmup_steps": 1}
    return {
        "data_root": str(folder / "data"),
        "task": task,
        "family": {
            block: {role: {"path": str(path)} for role, path in paths.items()}
            for block, paths in family.items()
        },
        "data_generation": {
            "groups": {
                "entity": {"train": 10, "discovery": 3, "means": 4, "mapping": 4, "validation": 4, "test": 8},
                "tom": {"train": 16, "discovery": 8, "means": 8, "mapping": 8, "validation": 8, "test": 8},
            },
            "corpus": {
                "entity": corpus,
                "tom": corpus | {"source": {"path": str(folder / "alpaca_data.json")}},
            },
        },
        "finetuning": {"entity": tuning, "tom": tuning, "micro_batch_size": 16, "checkpoint_every": 2},
        "circuit_discovery": {
            "entity": {"n_examples": 21, "stages": STAGES, "minimality": {"threshold": 0.0}},
            "tom": {"n_examples": 24},
        },
        "evaluation": {"n_random_circuits": 2},
        "distillation": {"n_train": 64, "epochs": 1, "warmup_steps": 0, "evaluate_every": 2},
    }


@pytest.fixture(scope="module")
def conf(tmp_path_factory) -> Path:
    """The shipped configuration, with MLflow's files beside the data."""
    folder = tmp_path_factory.mktemp("conf")
    shutil.copytree(ROOT / "conf", folder, dirs_exist_ok=True)
    shutil.copy(ROOT / "conf" / "test" / "mlflow.yml", folder / "llama3" / "mlflow.yml")
    return folder


def run_llama3(
    conf: Path,
    given: dict,
    pipelines: list[str] | None = None,
    only_missing: bool = False,
    env: str = "llama3",
) -> None:
    bootstrap_project(ROOT)
    options = {"project_path": ROOT, "env": env, "runtime_params": given, "conf_source": str(conf)}
    with KedroSession.create(**options) as session:
        session.run(pipeline_names=pipelines, runner=ArtifactRunner(), only_missing_outputs=only_missing)


@pytest.fixture(scope="module")
def family(tmp_path_factory) -> dict[str, dict[str, Path]]:
    return write_family(tmp_path_factory.mktemp("family"))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, conf, family) -> Path:
    """A folder in which the models of entity tracking have been found and tuned."""
    folder = tmp_path_factory.mktemp("llama3")
    stages = ["base_models", "data_generation", "teacher_tuning"]
    run_llama3(conf, parameters(folder, family, "entity"), stages)
    return folder


@pytest.fixture(scope="module")
def ran(tuned, conf, family) -> Path:
    """The same folder, in which both tasks have run to the end."""
    write_alpaca(tuned / "alpaca_data.json")
    run_llama3(conf, parameters(tuned, family, "entity"), only_missing=True)
    run_llama3(conf, parameters(tuned, family, "tom"))
    return tuned


@pytest.mark.slow
def test_tables_come_out_with_the_names_of_the_paper(ran):
    reporting = ran / "data" / "08_reporting" / "llama3"
    for number in TABLES:
        table = pd.read_csv(reporting / f"table{number}.csv", keep_default_na=False)
        printed = paper_rows().query("table == @number")
        own = table[: len(printed)]
        assert own["model"].tolist() == printed["model"].tolist()
        values = own[["full_model", "circuit", "random_circuit", "n_test", "seeds"]]
        assert not values.isin(["", "n/a"]).any(axis=None)
    page = (reporting / "report.html").read_text()
    assert "Entity tracking" in page and "Theory of mind" in page and "mini family stands in" not in page


@needs_bfloat16_attention
def test_bases_stay_where_they_are_and_words_that_split_are_left_out(tuned):
    models = tuned / "data/06_models/llama3/seed0/entity"
    names = [path.name for path in sorted((models / "base").iterdir()) if not path.name.startswith(".")]
    assert names == ["ancestry.json", "large.json", "medium.json", "record.json", "small.json"]
    record = json.loads((models / "base" / "record.json").read_text())
    assert sorted(record["words_left_out"]) == ["guitar", "umbrella"]
    prompts = pd.read_parquet(tuned / "data/03_primary/llama3/seed0/entity/test.parquet")["prompt"]
    assert not any(word in prompt for prompt in prompts for word in UNSEEN)


@needs_bfloat16_attention
def test_the_teacher_is_tuned_with_adapters_that_are_merged(tuned, family):
    models = tuned / "data/06_models/llama3/seed0/entity"
    record = json.loads((models / "tuned" / "record.json").read_text())["models"]
    assert [record[role]["method"] for role in ("small", "medium", "large")] == ["full", "full", "lora"]
    assert record["large"]["steps"] == record["large"]["items"] // 32 > 0
    base = load_checkpoint(family["models"]["large"]).model.state_dict()
    after = load_checkpoint(models / "tuned" / "large").model.state_dict()
    moved = {name.split(".")[-2] for name in base if not base[name].equal(after[name])}
    assert base.keys() == after.keys() and moved == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert not list((models / "tuned").glob("*unfinished*"))


@pytest.mark.slow
def test_every_row_of_the_paper_has_predictions(ran):
    for task in ("entity", "tom"):
        grid.select(task, (), loaded=True, instruct=True)
        for role, arm in grid.measured():
            name = f"data/07_model_output/llama3/seed0/{task}/paper/{role}.{arm}.predictions.parquet"
            assert len(pd.read_parquet(ran / name)) == (56 if task == "entity" else 32)


@pytest.mark.slow
def test_every_model_answers_questions_of_other_forms(ran, conf, family):
    (ran / "bigtom").mkdir()
    for belief, line in BELIEF_LINES.items():
        (ran / "bigtom" / f"0_forward_belief_{belief}_belief.csv").write_text(line)
    given = parameters(ran, family, "tom")
    given["held_out"] = {"scenes": 2, "max_operations": 3, "bigtom": str(ran / "bigtom")}
    run_llama3(conf, given, ["held_out"])
    table = pd.read_csv(ran / "data/08_reporting/llama3/seed0/tom/paper/held_out.csv")
    grid.select("tom", (), loaded=True, instruct=True)
    assert len(table[["model", "loss", "block"]].drop_duplicates()) == len(grid.measured())
    questions = table.groupby(["set", "block", "model", "loss"], dropna=False)["n"].sum()
    assert set(questions["scenes"]) == {14} and set(questions["bigtom"]) == {2}


@pytest.mark.slow
def test_a_broken_file_of_questions_stops_a_run_before_any_work(ran, conf, family):
    given = parameters(ran, family, "tom") | {"held_out": {"bigtom": str(ran / "models")}}
    with pytest.raises(UnusableModelError, match="held_out.bigtom: there is no file"):
        run_llama3(conf, given, ["held_out"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "train_tokenizer"), [(Qwen3Config, train_bpe), (MistralConfig, train_sentencepiece)]
)
def test_another_family_is_another_environment(tmp_path, conf, form, train_tokenizer):
    name, tokenizer = form.model_type, train_tokenizer(1500)
    shutil.copytree(conf / "llama3", conf / name)
    (conf / name / "globals.yml").write_text(
        (conf / "llama3" / "globals.yml").read_text().replace("family: llama3", f"family: {name}")
    )
    models = {
        role: write_checkpoint(tmp_path / role, role, tokenizer, form=form)
        for role in ("small", "medium", "large")
    }
    given = parameters(tmp_path, {"models": models}, "entity")
    run_llama3(conf, given, ["base_models", "data_generation", "teacher_tuning"], env=name)
    tuned = load_checkpoint(tmp_path / f"data/06_models/{name}/seed0/entity/tuned/large").model
    assert tuned.config.model_type == name


def test_an_unusable_model_stops_a_run_before_any_work(tmp_path, conf):
    given = parameters(tmp_path, {"models": {role: tmp_path / role for role in grid.roles()}}, "entity")
    with pytest.raises(UnusableModelError, match="family.models.small: there is no folder"):
        run_llama3(conf, given)
    left = [path for path in tmp_path.rglob("*") if path.is_file() and ".runs" not in path.parts]
    assert not [path for path in left if "mlflow" not in path.name]


def edit(path: Path, **values) -> str:
    """Change a JSON file; the text it had."""
    before = path.read_text()
    path.write_text(json.dumps(json.loads(before) | values))
    return before


def test_what_a_configuration_rules_out_stops_a_run_before_any_work(tmp_path, conf, family):
    models = dict(family["models"], small=shutil.copytree(family["models"]["small"], tmp_path / "small"))
    edit(tmp_path / "small" / "config.json", attention_dropout=0.1)
    with pytest.raises(UnusableModelError, match="family.models.small: the model has dropout") as caught:
        run_llama3(conf, parameters(tmp_path, {"models": models}, "entity"))
    assert "\n" not in str(caught.value) and not (tmp_path / "data" / "03_primary").exists()


@needs_bfloat16_attention
def test_another_configuration_of_a_base_model_is_seen_and_refused(tuned, conf, family):
    stages = ["base_models", "data_generation", "teacher_tuning"]
    given = parameters(tuned, family, "entity")
    assert {verdict.state for verdict in planned("llama3", stages, given)[0].verdicts().values()} == {FRESH}
    path = family["models"]["medium"] / "config.json"
    before = edit(path, rms_norm_eps=0.5)
    try:
        shown = table(planned("llama3", stages, given)[0])
        with pytest.raises(UnusableModelError, match="medium: the configuration and tokenizer in"):
            run_llama3(conf, given | {"experiment": "other"}, only_missing=True)
    finally:
        path.write_text(before)
    assert "load_base_models: family.models.medium has changed" in shown


def test_the_plan_is_written_and_refuses_what_cannot_fit(tmp_path, conf, family):
    given = parameters(tmp_path, family, "tom") | {"machine": {"gpu_memory_gb": 7.0}}
    run_llama3(conf, given, ["plan"])
    text = (tmp_path / "data/08_reporting/llama3/plan_tom.md").read_text()
    assert "download" not in text and "| circuit of instruct large |" in text  # models in folders
    assert "| tune large (lora) |" in text and "| circuit of tuned large |" in text and "| all |" in text
    with pytest.raises(CannotFitError, match="circuit of base large needs 6 GB, machine.gpu_memory_gb is 0"):
        run_llama3(conf, given | {"machine": {"gpu_memory_gb": 0.001}}, ["plan"])


@pytest.mark.slow
def test_two_processes_tune_like_one(tmp_path, conf, family, tuned):
    stages = ["base_models", "data_generation", "teacher_tuning"]
    run_llama3(conf, parameters(tmp_path, family, "entity") | {"processes": 2}, stages)
    name = "data/06_models/llama3/seed0/entity/tuned/record.json"
    alone, shared = (json.loads((folder / name).read_text())["models"] for folder in (tuned, tmp_path))
    for role in grid.roles():
        assert shared[role]["items"] == alone[role]["items"]
        assert shared[role]["last_loss"] == pytest.approx(alone[role]["last_loss"], rel=1e-3)
