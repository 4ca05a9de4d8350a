"""Before any work: check the base models that a run needs (files, shapes, tokenizers, device)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kedro.framework.cli.utils import KedroCliError

from circuit_distillation import grid
from circuit_distillation.grid import INSTRUCT, TEACHER
from circuit_distillation.models.settings import Loading
from circuit_distillation.parameters import plain
from circuit_distillation.parameters.models import InstructModels, ModelFamily, Models

SHARED_STAGES = ("", "circuit_discovery.", "distillation.", "finetuning.")
PARTS = {"weights": "weights", "settings": "configuration and tokenizer"}  # of a model's identity
PROCESSES = [f"params:{stage}processes" for stage in SHARED_STAGES]


class UnusableModelError(KedroCliError):
    """A base model that is absent, broken, out of reach, or of another kind."""


def check_models(nodes: Iterable[Any], pipeline, catalog) -> None:
    """One clear error if a run that touches base models of a loaded family cannot use them.

    `nodes` are those that will run.
    """
    read = set(pipeline.datasets())
    if not {f"{kind}.{role}" for kind in ("base", INSTRUCT) for role in grid.roles()} & read:
        return
    family = ModelFamily.model_validate(plain(catalog.load("params:family")))
    if family.models is None or family.loading is None:
        return
    instruct = family.instruct if any(name.startswith(f"{INSTRUCT}.") for name in read) else None
    try:
        folders = _check_family(family.models, instruct, family.loading, catalog)
        if "params:held_out" in pipeline.inputs():
            _check_held_out(plain(catalog.load("params:held_out")))
        _check_training(folders, plain(catalog.load("parameters"))["arms"])
        if "params:finetuning" in pipeline.inputs():
            _check_adapters(folders, plain(catalog.load("params:finetuning")))
        if any("corpus.train" in node.outputs for node in nodes):
            _check_corpus(plain(catalog.load("params:data_generation.corpus")), catalog.load("params:task"))
    except ValueError as error:
        raise UnusableModelError(str(error)) from None


def _check_family(
    models: Models, instruct: InstructModels | None, loading: Loading, catalog
) -> dict[str, Path]:
    """The folder of each role."""
    from circuit_distillation.compute.processes import check_processes
    from circuit_distillation.models.loaded_family import (
        allow_tf32,
        check_family,
        check_instruct,
        check_pruned_sizes,
        family_sources,
        instruct_sources,
    )

    if loading.tf32:
        allow_tf32()
    check_processes(max(catalog.load(name) for name in PROCESSES if name in catalog))
    bases = family_sources(models, loading)
    folders, parameters = check_family(bases), plain(catalog.load("parameters"))
    check_pruned_sizes(models, folders["large"])
    _check_windows("models", folders, parameters)
    _check_recorded("models", "base", bases, catalog)
    if instruct is not None:
        sources = instruct_sources(instruct, loading)
        _check_windows("instruct", check_instruct(sources, folders), parameters)
        _check_recorded("instruct", INSTRUCT, sources, catalog)
    return folders


def _check_recorded(block: str, kind: str, sources: dict, catalog) -> None:
    """ValueError if earlier stages of this run used another model than the parameters name now."""
    for role, source in sources.items():
        path = Path(catalog.get(f"{kind}.{role}")._filepath)
        if not path.is_file():
            continue
        recorded = json.loads(path.read_text())
        where = ("hub_id", "revision") if source.path is None else ("path",)
        if recorded["path"] != source.path or any(recorded[key] != getattr(source, key) for key in where):
            raise ValueError(
                f"family.{block}.{role} is {source.name}, the artifacts of this run are of "
                f"{recorded['path'] or recorded['hub_id']}: use another data_root, or give this family "
                "its own environment and name"
            )
        for part, digest in source.identity().items():
            if recorded.get(part, digest) != digest:
                raise ValueError(
                    f"family.{block}.{role}: the {PARTS[part]} in {source.name} are not those that the "
                    "artifacts of this run were made with: put those back, or choose another data_root to "
                    "start again"
                )


def _check_windows(block: str, folders: dict[str, Path], parameters: dict) -> None:
    """ValueError if the attention of a model does not reach over the prompts of the task."""
    from transformers import AutoConfig

    from circuit_distillation.models.architecture import check_window
    from circuit_distillation.models.checkpoint_files import empty_model

    for role, folder in folders.items():
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if getattr(config, "sliding_window", None) is not None:
            try:
                check_window(empty_model(folder), _longest_prompt(folder, parameters))
            except ValueError as error:
                raise ValueError(f"family.{block}.{role}: {error}") from None


def _longest_prompt(folder: Path, parameters: dict) -> int:
    """Tokens of the prompts of the longest template. In a sample, since each template has one length: that of
    its shortest prompt, for words that the tokenizer splits will be left out.
    """
    from transformers import AutoTokenizer

    from circuit_distillation.tasks import get_task

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    task, lengths = parameters["task"], dict[str, int]()
    for example in get_task(task, **parameters["data_generation"]["task_options"][task]).generate(8, 0):
        length = len(tokenizer(example.prompt).input_ids)
        lengths[example.template] = min(length, lengths.get(example.template, length))
    return max(lengths.values())


def _check_training(folders: dict[str, Path], arms: dict[str, dict]) -> None:
    """ValueError if no arm can train a student of these: it has dropout, or not the teacher's vocabulary."""
    from transformers import AutoConfig

    from circuit_distillation.models.architecture import check_dropout

    configs = {
        role: AutoConfig.from_pretrained(path, local_files_only=True) for role, path in folders.items()
    }
    soft = any(arms[name]["labels"] == "soft" for name in grid.arms())
    wanted = configs[TEACHER].vocab_size
    for role in grid.students():
        try:
            check_dropout(configs[role])
        except ValueError as error:
            raise ValueError(f"family.models.{role}: {error}") from None
        if soft and configs[role].vocab_size != wanted:
            raise ValueError(
                f"family.models.{role}: soft labels need the vocab_size of the teacher, {wanted}, not "
                f"{configs[role].vocab_size}: set distillation.labels to hard, and leave full_kl out of "
                "distillation.extra_arms"
            )


def _check_adapters(folders: dict[str, Path], finetuning: dict) -> None:
    """ValueError if adapters are asked for on weights that the model ties."""
    from transformers import AutoConfig

    from circuit_distillation.training.adapters import check_targets

    for role, folder in folders.items():
        if finetuning["method"][role] == "lora":
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            try:
                check_targets(finetuning["lora"]["targets"], config.tie_word_embeddings)
            except ValueError as error:
                raise ValueError(f"family.models.{role}: {error}") from None


def _check_held_out(held_out: dict) -> None:
    """ValueError if a file of questions is absent or broken."""
    from circuit_distillation.tasks.held_out import read_held_out

    for name in ("bigtom", "tomi", "hitom"):
        if held_out[name] is not None:
            try:
                read_held_out(held_out[name])
            except ValueError as error:
                raise ValueError(f"held_out.{name}: {error}") from None


def _check_corpus(corpora: dict, task: str) -> None:
    """ValueError if the user's file for the corpus is absent, broken or too small."""
    from circuit_distillation.tasks.rows import read_rows

    wanted, name = corpora[task], f"data_generation.corpus.{task}"
    source = wanted.get("source")
    if source is None or source["path"] is None:
        return
    path = Path(source["path"]).expanduser()
    if not path.is_file():
        raise ValueError(f"{name}.source: there is no file {source['path']}")
    left = len(read_rows(path, ("instruction", "output"))) - wanted["n_heldout"]
    if (wanted["n_train"] or 0) > left:
        raise ValueError(
            f"{name}.n_train = {wanted['n_train']}: {path} has {left} items left at most beside the held-out "
            "ones; lower it, or null for all of them"
        )
