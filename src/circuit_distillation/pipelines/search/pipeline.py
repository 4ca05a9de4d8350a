"""Pipelines `search` and `sweeps`: one node for each student and arm, or for each student and sweep."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.arms import PAPER_ARMS
from circuit_distillation.grid import TEACHER
from circuit_distillation.pipelines.search.nodes import (
    choose,
    choose_shared,
    collect,
    run_shared,
    run_sweep,
    run_trials,
)
from circuit_distillation.study.names import SWEEPS


def create_search() -> Pipeline:
    """Every declared trial of every arm; then, beside those chosen, the settings that all arms share."""
    chosen = {"chosen": "search_summary"}
    nodes = [
        *_round(run_trials, "trials", trials="params:search.trials.{arm}"),
        Node(choose, _trials("trials"), "search_summary", name="choose"),
        *_round(run_shared, "shared_trials", trials="params:search.shared", **chosen),
        Node(choose_shared, _trials("shared_trials") | chosen, "search_shared", name="choose_shared"),
    ]
    return Pipeline(nodes, tags="search")


def _cells() -> list[tuple[str, str]]:
    return [(role, arm) for role in grid.students() for arm in PAPER_ARMS]


def _round(function, rows: str, **more: str) -> list[Node]:
    return [
        Node(
            function,
            _stored(role)
            | {"arm": f"params:names.{arm}"}
            | {name: f"params:{name}" for name in ("distillation", "head_mapping")}
            | {name: dataset.format(arm=arm) for name, dataset in more.items()},
            f"{role}.{arm}.{rows}",
            name=function.__name__,
            namespace=f"{rows}.{role}.{arm}",
        )
        for role, arm in _cells()
    ]


def _trials(rows: str) -> dict[str, str]:
    cells = {f"{role}__{arm}": f"{role}.{arm}.{rows}" for role, arm in _cells()}
    return cells | {"experiment": "params:experiment"}


def create_sweeps() -> Pipeline:
    """Every sweep, from the settings that the search chose."""
    cells = [(role, sweep) for role in grid.students() for sweep in SWEEPS]
    nodes = [
        Node(
            run_sweep,
            _stored(role)
            | {"sweep": f"params:sweeps.{sweep}", "n_train": "params:distillation.n_train"}
            | {name: f"params:{name}" for name in ("arms", "mapping")},
            f"{role}.{sweep}.sweep",
            name=f"sweep_{sweep}",
            namespace=f"{role}.sweeps",
        )
        for role, sweep in cells
    ]
    rows = {f"{role}__{sweep}": f"{role}.{sweep}.sweep" for role, sweep in cells}
    rows |= {"experiment": "params:experiment"}
    return Pipeline([*nodes, Node(collect, rows, "sweep_rows", name="collect")], tags="sweeps")


def _stored(role: str) -> dict[str, str]:
    """What a trial of a student reads."""
    sides = {"student": f"{role}.base", "teacher": f"{TEACHER}.tuned"}
    artifacts = {"effects": "ablation_effects", "features": "head_features", "circuit": "circuit"}
    return {
        "student": f"base.{role}",
        "teacher": f"tuned.{TEACHER}",
        "role": f"params:family.roles.{role}.name",
        **{
            f"{which}_{short}": f"{side}.{name}"
            for which, side in sides.items()
            for short, name in artifacts.items()
        },
        **{split: f"examples.{split}" for split in ("train", "validation", "means")},
        # not all of `search`: another trial of one arm remakes that arm alone
        "training_seed": "params:search.training_seed",
        **{name: f"params:{name}" for name in ("task", "seed")},
    }
