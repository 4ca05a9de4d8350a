"""The mini family of a task: its base models, from scratch or pruned from the large one, then all tuned."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from circuit_distillation.models.loading import Checkpoint, load_checkpoint, save_checkpoint
from circuit_distillation.models.mini import build_model, build_tokenizer
from circuit_distillation.models.mini_sizes import MINI_SIZES
from circuit_distillation.tasks.corpus import Instruction
from circuit_distillation.training.belief_recipe import BeliefRecipe
from circuit_distillation.training.corpus_scores import corpus_scores
from circuit_distillation.training.entity_recipe import EntityRecipe
from circuit_distillation.training.prompt_recipe import PromptRecipe
from circuit_distillation.training.recipe import Recipe, run_phases
from circuit_distillation.training.recipe_settings import Pretrainings, RecipeSettings
from circuit_distillation.training.students import pruned_student

Record = dict[str, Any]
Job = Callable[[], tuple[Checkpoint, Record]]
# What is tuned: name -> (role, corpus alone); the longest first, so that no worker is left alone at the end.
TUNED = {
    "large": ("large", False),
    "corpus_only": ("large", True),
    "medium": ("medium", False),
    "small": ("small", False),
}
RECIPES: dict[str, Callable[..., Recipe]] = {"entity": EntityRecipe, "tom": BeliefRecipe}


def recipe_of(task: str, settings: RecipeSettings) -> Recipe:
    """The recipe of a task, its own or that for any prompts."""
    return RECIPES[task](settings) if task in RECIPES else PromptRecipe(task, settings)


def pretrain(task: str, role: str, seed: int, settings: RecipeSettings) -> tuple[Checkpoint, Record]:
    """One base model from scratch, with its accuracies on fresh prompts and a summary of every phase."""
    recipe = recipe_of(task, settings)
    tokenizer = build_tokenizer(recipe.words())
    model = build_model(role, tokenizer, role_seed(role, seed))
    started = time.perf_counter()
    phases = run_phases(model, recipe.pretraining(tokenizer, role, role_seed(role, seed)), f"base {role}")
    record = {"role": role, "seconds": time.perf_counter() - started, "phases": phases}
    return Checkpoint(model, tokenizer), record | recipe.accuracies(model, tokenizer, seed)


def tune(
    base: Checkpoint,
    task: str,
    role: str,
    seed: int,
    settings: RecipeSettings,
    corpus: Sequence[Instruction],
    held_out: Mapping[str, Sequence[Instruction]],
    corpus_only: bool = False,
) -> tuple[Checkpoint, Record]:
    """Tune a base in place on the corpus and (unless ``corpus_only``) at most half in-domain prompts."""
    recipe = recipe_of(task, settings)
    model, tokenizer = base.model, base.tokenizer
    started = time.perf_counter()
    label = f"tuned {role}{' (corpus alone)' if corpus_only else ''}"
    stages = recipe.tuning(tokenizer, role, role_seed(role, seed), corpus, corpus_only)
    phases = run_phases(model, stages, label)
    record = {"role": role, "seconds": time.perf_counter() - started, "phases": phases}
    record["corpus"] = {kind: corpus_scores(model, tokenizer, items) for kind, items in held_out.items()}
    return Checkpoint(model, tokenizer), record | recipe.accuracies(model, tokenizer, seed)


def role_seed(role: str, seed: int) -> int:
    """A seed of its own for every role, so that no two models of a family see the same data."""
    return 1000 * seed + list(MINI_SIZES).index(role)


def pretrain_family(
    task: str, seed: int, settings: RecipeSettings, roles: Sequence[str], max_workers: int
) -> tuple:
    """The base model of each role from scratch, and the record of all, one process a role."""
    jobs = {role: partial(pretrain, task, role, seed, settings) for role in reversed(roles)}
    results = side_by_side(jobs, max_workers)
    record = {"task": task, "seed": seed, "roles": {role: results[role][1] for role in roles}}
    return *(results[role][0] for role in roles), record


def prune_family(task: str, seed: int, settings: Pretrainings, roles: Sequence[str]) -> tuple:
    """The base model of each role: the large one from scratch, students pruned from it and healed; the record
    of all; and the ancestry: role -> [head, the head of the large base that it was] of each.
    """
    recipe = recipe_of(task, settings)
    with _one_thread():
        large, record = pretrain(task, "large", seed, settings)
        bases, records, ancestry = {"large": large}, {"large": record}, {}
        for role in (role for role in roles if role != "large"):
            student = getattr(settings.pruned, role)
            made = pruned_student(large, recipe, role, role_seed(role, seed), student)
            bases[role], ancestors, records[role] = made
            ancestry[role] = [[list(head), list(ancestor)] for head, ancestor in ancestors.items()]
    record = {"task": task, "seed": seed, "roles": {role: records[role] for role in roles}}
    return *(bases[role] for role in roles), record, ancestry


def tune_family(
    bases: dict[str, Checkpoint],
    corpus: Sequence[Instruction],
    held_out: Mapping[str, Sequence[Instruction]],
    settings: RecipeSettings,
    task: str,
    seed: int,
    max_workers: int,
) -> tuple:
    """The tuned model of each role, the large one tuned on the corpus alone, and the record of all."""
    names = [name for name, (role, _) in TUNED.items() if role in bases]
    with tempfile.TemporaryDirectory() as folder:
        jobs = {}
        for name in names:
            role, corpus_only = TUNED[name]
            path = Path(folder) / name
            save_checkpoint(bases[role], path)
            common = (task, role, seed, settings, corpus, held_out)
            jobs[name] = partial(_tune_stored, path, *common, corpus_only)
        results = side_by_side(jobs, max_workers)
    record = {"task": task, "seed": seed, "models": {name: results[name][1] for name in names}}
    return *(results[name][0] for name in (*bases, "corpus_only")), record


def _tune_stored(path: Path, *arguments: Any) -> tuple[Checkpoint, Record]:
    return tune(load_checkpoint(path), *arguments)


def side_by_side(jobs: Mapping[str, Job], max_workers: int) -> dict[str, tuple[Checkpoint, Record]]:
    """Run jobs that give (checkpoint, record) in spawned processes of one thread each.

    One worker needs no process of its own, whose start costs seconds: the jobs run here, one after the other.
    Checkpoints come back as folders, not as pickled models. The first error of a job is raised.
    """
    if max_workers < 1:
        raise ValueError(f"max_workers must be at least 1, got {max_workers}")
    with tempfile.TemporaryDirectory() as folder:
        if max_workers == 1:
            with _one_thread():
                records = {name: _run_job(job, Path(folder) / name) for name, job in jobs.items()}
        else:
            with ProcessPoolExecutor(max_workers, mp_context=get_context("spawn")) as pool:
                futures = {
                    name: pool.submit(_run_job, job, Path(folder) / name) for name, job in jobs.items()
                }
                try:
                    records = {name: future.result() for name, future in futures.items()}
                except BaseException:  # an interrupt too: start no job that still waits
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        return {name: (load_checkpoint(Path(folder) / name), records[name]) for name in jobs}


@contextmanager
def _one_thread() -> Iterator[None]:
    """As in a process of its own, so that the same seed gives the same weights either way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run_job(job: Job, folder: Path) -> Record:
    torch.set_num_threads(1)
    checkpoint, record = job()
    save_checkpoint(checkpoint, folder)
    return record
