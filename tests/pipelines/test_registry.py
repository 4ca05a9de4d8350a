"""The pipelines as Kedro sees them: every dataset is in the catalog, the grid follows the task."""

from __future__ import annotations

from graphlib import TopologicalSorter

import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from circuit_distillation import grid
from circuit_distillation.arms import PAPER_ARMS
from circuit_distillation.pipelines.reporting.nodes import TABLES
from circuit_distillation.tasks.splits import SPLITS

from .conftest import ROOT


@pytest.fixture(scope="module")
def context(tmp_path_factory, request):
    """The context of a task's session."""
    bootstrap_project(ROOT)
    given = {"data_root": str(tmp_path_factory.mktemp("data")), "task": request.param}
    with KedroSession.create(project_path=ROOT, env="test", runtime_params=given) as session:
        yield session.load_context()


@pytest.mark.parametrize("context", ["entity", "tom"], indirect=True)
def test_no_dataset_falls_through_to_memory(context):
    catalog = context.catalog
    for name, pipeline in pipelines.items():
        names = [n for n in pipeline.datasets() if n != "parameters" and not n.startswith("params:")]
        missing = [n for n in names if n not in catalog]
        assert not missing, f"{name} uses datasets that the catalog does not have"
        assert all(type(catalog.get(n)).__name__ != "MemoryDataset" for n in names)


@pytest.mark.parametrize("context", ["entity", "tom"], indirect=True)
def test_the_paper_makes_these_datasets_and_reads_no_others(context):
    """Exact names: a misspelt one would match a pattern of the catalog and never be missed."""
    entity = context.params["task"] == "entity"
    prompts = [f"examples.{split}" for split in (*SPLITS, "discovery_corrupt")]
    prompts += ["corpus.train", "corpus.heldout"]
    models = [f"{kind}.{role}" for kind in grid.KINDS for role in grid.roles()] + ["tuned_corpus.large"]
    found = ("head_scores", "circuit", "prompt_scores", "stability", "overlap", "circuit_predictions")
    circuits = [f"{role}.{kind}.{name}" for role in grid.roles() for kind in grid.KINDS for name in found]
    measured = ("ablation_effects", "head_features", "attention_profiles")
    effects = [f"{of}.{name}" for of in ("small.base", "medium.base", "large.tuned") for name in measured]
    parts = ("heads", "control_pairs", "mapping", "function_mapping", "other_role_pairs", "rule_scores")
    mappings = [f"{role}.{name}" for role in grid.students() for name in parts]
    kinds = ("teacher_labels", "teacher_signals")
    signals = [f"{kind}.{name}" for kind in kinds for name in ("task", "tuning")[: 1 + entity]]
    made_by_arm = ("student", "history", "settings")
    trained = [f"{role}.{arm}.{name}" for role, arm in grid.cells() for name in made_by_arm]
    tested = [f"{role}.{arm}.{name}" for role, arm in grid.measured() for name in ("predictions", "tracked")]
    tables = [f"{table}.{form}" for table in TABLES for form in ("table_csv", "table_md", "table_tex")]
    records = ["pretraining_record", "base.ancestry", "tuning_record"]
    tables += ["rule_scores", "matching.table_csv", "matching.table_md"]
    rest = [*records, "results", "significance", "facts", "figures", "report"]
    wanted = {*prompts, *models, *circuits, *effects, *mappings, *signals, *trained, *tested, *tables, *rest}
    made = pipelines["__default__"].all_outputs()
    assert made == wanted
    free = {name.rpartition(".")[2] for name in pipelines["__default__"].inputs() if "param" not in name}
    # folders of killed work, the claims of the shipped study, and pages of heads
    assert free == {"unfinished", "unfinished_search", "published", "written"}


@pytest.mark.parametrize("context", ["entity", "tom"], indirect=True)
def test_paths_differ_between_all_datasets(context):
    catalog, names = context.catalog, pipelines["__default__"].datasets()
    stored = [n for n in names if n != "parameters" and not n.startswith("params:")]
    found = [getattr(catalog.get(n), "_filepath", None) for n in stored]  # files of many runs have a folder
    paths = [str(path) for path in found if path is not None]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("context", ["entity"], indirect=True)
def test_layers_of_kedro_viz_follow_the_pipeline(context):
    """Kedro-Viz shows no layers at all if one needs another that needs it."""
    pipeline = pipelines["__default__"]
    catalog = context.catalog  # made anew at each access
    layers = {name: _layer(catalog, name) for name in pipeline.datasets() if "param" not in name}
    order: dict[str, set[str]] = {}
    for node in pipeline.nodes:
        for made in node.outputs:
            needed = {layers.get(name) for name in node.inputs}
            order.setdefault(layers[made], set()).update(needed - {layers[made], None})
    assert None not in order
    assert list(TopologicalSorter(order).static_order())[-2:] == ["results", "report"]


def _layer(catalog, name: str) -> str | None:
    metadata = getattr(catalog.get(name), "metadata", None) or {}
    return metadata.get("kedro-viz", {}).get("layer")


@pytest.mark.parametrize("context", ["entity", "tom"], indirect=True)
def test_every_arm_is_a_namespace(context):
    names = {node.namespace for node in pipelines["distillation"].nodes}
    assert {f"{role}.{arm}" for role in grid.students() for arm in PAPER_ARMS} <= names
    goat = any("goat" in str(name) for name in names)
    assert goat == (context.params["task"] == "entity")


@pytest.mark.parametrize("context", ["tom"], indirect=True)
def test_what_changes_an_artifact_is_in_its_path(context):
    def path(name: str) -> str:
        return str(context.catalog.get(name)._filepath)

    assert all("mini/seed0/tom" in path(f"examples.{split}") for split in SPLITS)
    assert "mini/seed0/tom/paper" in path("small.circuit_ce.student")
    assert "mini/seed0/tom/paper" in path("small.mapping")
    assert "/paper/" not in path("small.base.circuit") and "/paper/" not in path("tuned.large")


def test_default_pipeline_holds_all_but_the_study(tmp_path):
    bootstrap_project(ROOT)
    beside = ("__default__", "study_run", "study", "transfer", "search", "sweeps", "compare")
    beside += ("regime_search", "regimes", "regime_tables", "heads", "bundle")
    stages = [pipeline for name, pipeline in pipelines.items() if name not in beside]
    nodes = {node.name for pipeline in stages for node in pipeline.nodes}
    assert nodes == {node.name for node in pipelines["__default__"].nodes}


def test_a_training_seed_has_folders_of_its_own_and_shares_what_it_does_not_change(tmp_path):
    bootstrap_project(ROOT)
    given = {"data_root": str(tmp_path), "task": "tom", "training_seed": 2}
    with KedroSession.create(project_path=ROOT, env="test", runtime_params=given) as session:
        catalog = session.load_context().catalog
    trained = ("student", "history", "predictions")
    own = [f"small.circuit_ce.{name}" for name in trained]
    assert all("/tom/paper.training2/" in str(catalog.get(name)._filepath) for name in own)
    signals = str(catalog.get("teacher_signals.task")._filepath)  # all experiments share them
    assert signals.endswith("/tom/teacher_signals.training2/task.safetensors")
    shared = ("small.mapping", "small.base.predictions", "large.tuned.predictions", "base.small")
    assert not any("training2" in str(catalog.get(name)._filepath) for name in shared)
