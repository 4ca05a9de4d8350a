"""A missing upstream artifact is named, with the command that makes it, before any work."""

from __future__ import annotations

from kedro.framework.cli.utils import KedroCliError
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines


class MissingArtifactError(KedroCliError):
    """Inputs of this run that no earlier run has made."""


class ArtifactHooks:
    """Look for the free inputs of the pipeline that is about to run."""

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params, pipeline, catalog) -> None:
        """Raise one clear error if an input artifact does not exist.

        `tryfirst`: project hooks otherwise run after kedro-mlflow's, which would leave a run marked finished.
        """
        missing = sorted(name for name in pipeline.inputs() if _is_absent(name, catalog))
        if not missing or run_params.get("only_missing_outputs") and not self._needed(missing, pipeline, catalog):
            return
        raise MissingArtifactError(_message(missing, run_params, catalog))

    @staticmethod
    def _needed(missing: list[str], pipeline, catalog) -> bool:
        """Whether a node that reads a missing input still has outputs to make."""
        readers = [node for node in pipeline.nodes if set(node.inputs) & set(missing)]
        return any(not catalog.exists(output) for node in readers for output in node.outputs)


def _is_absent(name: str, catalog) -> bool:
    is_parameter = name == "parameters" or name.startswith("params:")
    return not is_parameter and not catalog.exists(name)


def _producers(names: list[str], catalog) -> list[str]:
    """Pipelines, in running order, that make the named datasets and whatever those need and is absent too."""
    stages = [name for name in pipelines if name != "__default__"]
    wanted, needed = set(names), set()
    for stage in reversed(stages):
        if wanted & set(pipelines[stage].all_outputs()):
            needed.add(stage)
            wanted |= {name for name in pipelines[stage].inputs() if _is_absent(name, catalog)}
    return [stage for stage in stages if stage in needed]


def _message(missing: list[str], run_params, catalog) -> str:
    given = run_params.get("runtime_params") or {}
    options = "".join(f" --env {run_params['env']}" if run_params.get("env") not in (None, "local") else "")
    if given:
        options += " --params " + ",".join(f"{key}={value}" for key, value in _flat(given))
    shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
    stages = ",".join(_producers(missing, catalog))
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
            yield f"{prefix}{key}", value
