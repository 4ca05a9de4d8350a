"""A missing or broken upstream artifact is named, with the command that makes it, before any work."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from kedro.framework.cli.utils import KedroCliError
from kedro.framework.project import pipelines

from circuit_distillation.fingerprints.plan import FOLLOWS, STALE, TAKEN, Planner, is_parameter
from circuit_distillation.storage.seals import BrokenArtifactError, check

logger = logging.getLogger(__name__)


class MissingArtifactError(KedroCliError):
    """Inputs of this run that no earlier run has made."""


class UnusableArtifactError(KedroCliError):
    """An input of this run that is not what was written."""


def check_inputs(nodes: Iterable[Any], makes: Collection[str], run_params, catalog) -> None:
    """Raise one clear error if an input of the nodes is absent or broken.

    What is among `makes`, which the run itself makes, need not exist.
    """
    read = {name for node in nodes for name in node.inputs if not is_parameter(name)}
    free = sorted(read - set(makes))
    missing = [name for name in free if not catalog.exists(name)]
    if missing:
        raise MissingArtifactError(_message(missing, run_params, catalog))
    for name in free:
        _check_seal(name, run_params, catalog)


def warn_of_stale_inputs(pipeline, catalog) -> None:
    """A line about inputs that another pipeline makes, which would make them anew now."""
    default = pipelines["__default__"]
    read = pipeline.inputs() & default.all_outputs()
    if not read:
        return
    verdicts = Planner(default.nodes, catalog).verdicts()
    makers = {name: node.name for node in default.nodes for name in node.outputs}
    old = sorted(name for name in read if verdicts[makers[name]].state in (STALE, FOLLOWS, TAKEN))
    if old:
        logger.warning(
            "%d input(s) are stale, such as %s: `kedro status` says why; "
            "`kedro run --only-missing-outputs` makes them anew",
            len(old),
            old[0],
        )


def _check_seal(name: str, run_params, catalog) -> None:
    try:
        path = getattr(catalog.get(name), "_filepath", None)
        if path is not None:
            check(Path(path))
    except BrokenArtifactError as error:
        what = str(error).partition(": delete it")[0]
        stages = ",".join(_producers([name], catalog))
        command = f"kedro run --pipelines {stages}{_options(run_params)}"
        remedy = f"make {name} again with `{command}`" if stages else "delete it, and make it again"
        raise UnusableArtifactError(f"{what}: {remedy}.") from None


def _is_absent(name: str, catalog) -> bool:
    return not is_parameter(name) and not catalog.exists(name)


def _producers(names: list[str], catalog) -> list[str]:
    """Pipelines, in running order, that make the named datasets and whatever those need and is absent too."""
    nodes = {name: set(pipeline.nodes) for name, pipeline in pipelines.items()}
    # Pipelines that hold a whole other one are sums of stages, such as the default.
    stages = [name for name in nodes if not any(of < nodes[name] for of in nodes.values())]
    wanted, needed = set(names), set()
    for stage in reversed(stages):
        if wanted & set(pipelines[stage].all_outputs()):
            needed.add(stage)
            wanted |= {name for name in pipelines[stage].inputs() if _is_absent(name, catalog)}
    return [stage for stage in stages if stage in needed]


def _options(run_params) -> str:
    """The options of the command that was given, to be given again."""
    given = run_params.get("runtime_params") or {}
    options = "".join(f" --env {run_params['env']}" if run_params.get("env") not in (None, "local") else "")
    if given:
        options += " --params " + ",".join(f"{key}={value}" for key, value in _flat(given))
    return options


def _message(missing: list[str], run_params, catalog) -> str:
    options = _options(run_params)
    shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
    stages = ",".join(_producers(missing, catalog))
    if not stages:  # what runs of every seed and experiment leave together
        return f"{shown}: no run has left any in this data folder. `make run` makes one, `make study` all"
    return (
        f"{len(missing)} input artifact(s) do not exist yet: {shown}. Make them with "
        f"`kedro run --pipelines {stages}{options}` or make whatever is missing with "
        f"`kedro run --only-missing-outputs{options}`."
    )


def _flat(mapping: dict, prefix: str = ""):
    """Nested runtime parameters as dotted `--params` items."""
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            word = value is None or isinstance(value, bool)  # None would be read back as a text
            yield f"{prefix}{key}", json.dumps(value) if word else value
