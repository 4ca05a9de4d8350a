"""Base models that a run needs are looked at before any work: files, shapes, tokenizers, device."""

from __future__ import annotations

import json
from pathlib import Path

from kedro.framework.cli.utils import KedroCliError
from kedro.framework.hooks import hook_impl

from circuit_distillation.grid import ROLES
from circuit_distillation.parameters import plain
from circuit_distillation.parameters.family import Family


class UnusableModelError(KedroCliError):
    """A base model that is absent, broken, out of reach, or of another kind."""


class ModelHooks:
    """Check the models of a family that is loaded."""

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline, catalog) -> None:
        """One clear error, before MLflow opens a run, if a run that touches base models cannot use them."""
        names = {f"base.{role}" for role in ROLES}
        if not names & set(pipeline.datasets()) or "params:family" not in catalog:
            return
        family = Family.model_validate(plain(catalog.load("params:family")))
        if family.models is None:
            return
        from circuit_distillation.models.family import allow_tf32, check_family, family_sources

        if family.loading.tf32:
            allow_tf32()
        try:
            sources = family_sources(family.models.model_dump(), family.loading.model_dump())
            check_family(sources)
            for role, source in sources.items():
                _check_recorded(role, source, Path(catalog.get(f"base.{role}")._filepath))
            if "corpus.train" in pipeline.all_outputs():
                _check_corpus(plain(catalog.load("params:data_generation")), catalog.load("params:task"))
        except ValueError as error:
            raise UnusableModelError(str(error)) from None


def _check_recorded(role: str, source, path: Path) -> None:
    """ValueError if earlier stages of this run used another model than the parameters name now."""
    if not path.is_file():
        return
    recorded = json.loads(path.read_text())
    where = ("hub_id", "revision") if source.path is None else ("path",)
    if recorded["path"] != source.path or any(recorded[key] != getattr(source, key) for key in where):
        raise ValueError(
            f"family.models.{role} is {source.name}, the artifacts of this run are of "
            f"{recorded['path'] or recorded['hub_id']}: keep families apart, in another data_root or under "
            "another name of an environment of their own"
        )


def _check_corpus(data: dict, task: str) -> None:
    """ValueError if the corpus is to be read from a file of one's own that is not there."""
    source = data["corpus"][task].get("source")
    if source is not None and source["path"] is not None and not Path(source["path"]).expanduser().is_file():
        raise ValueError(f"data_generation.corpus.{task}.source: there is no file {source['path']}")
