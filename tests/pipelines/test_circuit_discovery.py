"""The nodes of circuit discovery: they go on after a kill, leave nothing behind, and log what they cost."""

from __future__ import annotations

from types import SimpleNamespace

import mlflow
import pytest
from naive.prompts import tiny_checkpoint

from circuit_distillation.circuits import discovery
from circuit_distillation.circuits.settings import PathPatching
from circuit_distillation.pipelines.circuit_discovery.nodes import discover_circuit, measure_ablation
from circuit_distillation.tasks import get_task

FETCHER = {"name": "value_fetcher", "sender": "last", "n_heads": 3, "min_drop": 0.0, "z": 0.0}
READER = {"name": "structure_reader", "sender": "previous_label", "n_heads": 3, "min_drop": 0.0, "z": 0.0}
SETTINGS = {
    "method": "path_patching",
    "n_examples": 6,
    "score": "log_prob",
    "kv_scope": "per_query_head",
    "stages": [FETCHER, READER | {"receivers": ["value_fetcher"], "receiver_input": "v"}],
    "minimality": {"threshold": 0.0},
}
PARAMETERS = SimpleNamespace(processes=1, entity=PathPatching(**SETTINGS))
ROLE = {"name": "small", "label": "S"}


@pytest.fixture(scope="module")
def prompts():
    """(checkpoint, discovery, corrupted, means) as the catalog loads them."""
    task = get_task("entity", n_boxes=2)
    questions = task.generate(3, 2)
    splits = (questions, task.corrupt(questions, 3), task.generate(4, 1))
    return tiny_checkpoint(task, seed=2), *splits


@pytest.fixture
def logged(monkeypatch) -> dict[str, float]:
    metrics: dict[str, float] = {}
    monkeypatch.setattr(mlflow, "active_run", lambda: object())
    monkeypatch.setattr(mlflow, "log_metrics", metrics.update)
    return metrics


def test_a_killed_search_goes_on(prompts, logged, tmp_path, monkeypatch) -> None:
    unfinished, score, stages = tmp_path / "small_base.unfinished", discovery.score_heads, []

    def killed_at_the_second(*args, **options):
        stages.append(options["receivers"])
        if len(stages) == 2:
            raise KeyboardInterrupt
        return score(*args, **options)

    monkeypatch.setattr(discovery, "score_heads", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        discover_circuit(*prompts, unfinished, PARAMETERS, "entity", ROLE, "base")
    assert [path.name for path in unfinished.glob("*.safetensors")] == ["value_fetcher.safetensors"]
    assert not logged
    scores, circuit, _ = discover_circuit(*prompts, unfinished, PARAMETERS, "entity", ROLE, "base")
    assert not unfinished.exists()
    assert set(scores["stage"]) == {"value_fetcher", "structure_reader"} and circuit["role"] == "small"
    names = ("forward_equivalents", "naive_forward_equivalents", "seconds")
    assert logged == {f"discovery.small.base.{name}": circuit["cost"][name] for name in names}


def test_a_sweep_logs_its_cost(prompts, logged) -> None:
    checkpoint, questions, _, means = prompts
    effects, _ = measure_ablation(checkpoint, questions, means, 1, ROLE, "base")
    assert logged["ablation.small.base.naive_forward_equivalents"] == 9 * effects["example_id"].nunique()
    assert logged["ablation.small.base.forward_equivalents"] == effects.attrs["cost"]["forward_equivalents"]
