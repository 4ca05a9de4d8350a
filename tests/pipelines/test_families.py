"""The shipped environments of loaded families: short files over llama3, run on stand-ins of their form."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from configuration import CONF
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from standins import train_open_bpe, write_checkpoint
from transformers import LlamaConfig, Qwen2Config, Qwen3Config

from circuit_distillation.hooks.environments import LayeredConfigLoader, WrongEnvironmentError
from circuit_distillation.hooks.parameters import InvalidParameterError
from circuit_distillation.models.loading import load_checkpoint
from circuit_distillation.settings import CONFIG_LOADER_ARGS

from .conftest import ROOT
from .test_llama3 import conf, parameters, run_llama3  # noqa: F401  (conf is a fixture)

FORMS = {
    "qwen25_coder": (Qwen2Config, train_open_bpe),
    "qwen3": (Qwen3Config, train_open_bpe),
    "smollm2": (LlamaConfig, partial(train_open_bpe, one_special=True)),
}


def loader(folder: Path, env: str) -> LayeredConfigLoader:
    return LayeredConfigLoader(str(folder), env=env, **CONFIG_LOADER_ARGS)


@pytest.mark.parametrize("name", FORMS)
def test_a_family_states_only_what_differs(name):
    own, shared = (loader(CONF, env) for env in (name, "llama3"))
    assert own["globals"] == shared["globals"] | {"family": name, "like": "llama3"}
    assert own["catalog"].keys() == shared["catalog"].keys()
    raw, like = own["parameters"], shared["parameters"]
    changed = {key for key in like if raw[key] != like[key]}
    assert changed == {"family"} | ({"finetuning"} if name == "smollm2" else set())
    assert raw["family"]["models"]["small"]["hub_id"].split("/")[0] in ("Qwen", "HuggingFaceTB")
    lines = [line for path in (CONF / name).iterdir() for line in path.read_text().splitlines()]
    assert len(lines) < 25


@pytest.mark.parametrize("name", FORMS)
def test_a_model_without_a_commit_is_asked_for_before_any_work(tmp_path, name):
    bootstrap_project(ROOT)
    given = {"data_root": str(tmp_path)}
    line = r"`revision` of \S+ is missing: pin a commit .*, or give a folder as `path`$"
    with KedroSession.create(project_path=ROOT, env=name, runtime_params=given) as session:
        with pytest.raises(InvalidParameterError, match=line):
            session.load_context()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FORMS)
def test_prompts_fit_the_tokenizer_of_the_family(tmp_path, conf, name):  # noqa: F811
    form, train = FORMS[name]
    tokenizer = train()
    paths = {
        role: write_checkpoint(tmp_path / role, role, tokenizer, seed, form)
        for seed, role in enumerate(("small", "medium", "large"))
    }
    assert load_checkpoint(paths["small"]).model.config.model_type == form.model_type
    given = parameters(tmp_path, {"models": paths}, "entity")
    run_llama3(conf, given, ["base_models", "data_generation"], env=name)
    run = tmp_path / f"data/03_primary/{name}/seed0/entity"
    prompts = pd.read_parquet(run / "test.parquet")["prompt"]
    assert len(prompts) == 56 and len({len(tokenizer(prompt).input_ids) for prompt in prompts}) == 1


def test_environments_may_stand_on_each_other_but_not_in_a_circle(tmp_path):
    environments = {"base": None, "a": None, "b": "a", "c": "b", "d": "d", "e": "none"}
    for seed, (name, like) in enumerate(environments.items()):
        (tmp_path / name).mkdir()
        above = "" if like is None else f"like: {like}\n"
        (tmp_path / name / "globals.yml").write_text(f"{above}{name}: {seed}\n")
        (tmp_path / name / "parameters.yml").write_text(f"block: {{seed: {seed}, {name}: true}}\n")
    found = loader(tmp_path, "c")
    assert found["parameters"]["block"] == {"seed": 3, "base": True, "a": True, "b": True, "c": True}
    assert found["globals"] == {"base": 0, "a": 1, "b": 2, "c": 3, "like": "b"}
    with pytest.raises(WrongEnvironmentError, match="`like: d` in globals.yml leads back to itself"):
        loader(tmp_path, "d")
    with pytest.raises(WrongEnvironmentError, match="there is no environment none in conf/"):
        loader(tmp_path, "e")
