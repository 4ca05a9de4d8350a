"""The output of `kedro status`: which nodes would run, by stage, and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from kedro.framework.project import pipelines as registry
from kedro.framework.project import settings
from kedro.framework.session import KedroSession
from kedro.pipeline import Pipeline

from circuit_distillation import grid
from circuit_distillation.fingerprints.artifacts import artifact_of
from circuit_distillation.fingerprints.plan import FOLLOWS, FRESH, MISSING, STALE, TAKEN, UNKNOWN, Planner
from circuit_distillation.fingerprints.record import write_record
from circuit_distillation.hooks.artifacts import MissingArtifactError
from circuit_distillation.hooks.tracking import TrackingHooks
from circuit_distillation.training.distillation_settings import DistillationSettings
from circuit_distillation.training.settings_table import settings_table

STATES = (FRESH, UNKNOWN, TAKEN, MISSING, STALE, FOLLOWS)
REASONS_SHOWN = 8


def planned(env: str | None, names: list[str], params: dict[str, Any]) -> tuple[Planner, dict[str, Any]]:
    """Planner and parameters of the named pipelines, as `kedro run` with the same options has them."""
    with KedroSession.create(env=env, runtime_params=params) as session:
        for hook in settings.HOOKS:
            if isinstance(hook, TrackingHooks):  # would import MLflow and set its store up for nothing
                session._hook_manager.unregister(hook)
        context = session.load_context()
        if unknown := [name for name in names if name not in registry]:
            raise MissingArtifactError(f"there is no pipeline {unknown[0]}: there are {', '.join(registry)}")
        pipeline = sum((registry[name] for name in names), Pipeline([]))
        return Planner(pipeline.nodes, context.catalog), context.config_loader["parameters"]


def arms_table(parameters: dict[str, Any]) -> str:
    """What each arm of the run trains with."""
    arms = {name: DistillationSettings(**parameters["arms"][name]) for name in grid.arms()}
    return settings_table(arms, parameters["distillation"]["n_train"])


def table(planner: Planner) -> str:
    """Nodes by stage and state, then the reasons of the first nodes that would run."""
    verdicts = planner.verdicts()
    stages: dict[str, Counter[str]] = defaultdict(Counter)
    for node in planner.nodes:
        stages[_stage(node)][verdicts[node.name].state] += 1
    head = f"{'stage':<20}" + "".join(f"{state:>12}" for state in STATES)
    lines = [head, *(_row(stage, count) for stage, count in stages.items())]
    causes: dict[str, list[str]] = defaultdict(list)
    for name, verdict in verdicts.items():
        if verdict.state == STALE:
            causes["; ".join(verdict.reasons[:3])].append(name)
        if verdict.state == TAKEN:
            causes[f"taken {verdict.reasons[0]}"].append(name)
    lacking = [verdict.reasons[0] for verdict in verdicts.values() if verdict.state == MISSING]
    lines += [""] if causes or lacking else []
    lines += [_several(lacking)] if lacking else []
    lines += [f"{_several(names)}: {why}" for why, names in list(causes.items())[:REASONS_SHOWN]]
    if len(causes) > REASONS_SHOWN:
        lines.append(f"and {len(causes) - REASONS_SHOWN} more reasons")
    running = sum(verdict.runs for verdict in verdicts.values())
    return "\n".join([*lines, "", f"{running} of {len(verdicts)} nodes would run"])


def accept_stored(planner: Planner) -> int:
    """Write the current fingerprint beside every stored artifact; returns their number."""
    accepted = 0
    for node in planner.nodes:
        made = planner.made(node)
        for name in node.outputs:
            artifact = artifact_of(planner.catalog.get(name))
            if artifact is not None and not artifact.is_cache and planner.catalog.exists(name):
                write_record(artifact, made, node.name)
                accepted += 1
    return accepted


def _stage(node: Any) -> str:
    return next((name for name in registry if name in node.tags), "others")


def _row(stage: str, count: Counter[str]) -> str:
    return f"{stage:<20}" + "".join(f"{count[state] or '':>12}" for state in STATES)


def _several(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
