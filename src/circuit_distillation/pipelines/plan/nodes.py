"""The plan of a run with loaded models, from its parameters; refused where it cannot fit."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from kedro.framework.cli.utils import KedroCliError

from circuit_distillation.parameters import validate
from circuit_distillation.parameters.resolve import unresolved

log = logging.getLogger(__name__)


class CannotFitError(KedroCliError):
    """A run that would need more memory or disk than there is."""


def make_plan(parameters: dict[str, Any]) -> str:
    """The plan as text, also logged; `CannotFitError` names the stages and the parameters to change."""
    from circuit_distillation.planning.models import downloads_of, shapes_of
    from circuit_distillation.planning.plan import faults, plan, to_text

    run = validate(unresolved(parameters))
    assert run.machine is not None, "loaded models are planned for a machine"
    rows = plan(run, shapes_of(run), downloads_of(run))
    text = to_text(rows, run.machine.utilisation, run.machine.n_gpus)
    log.info("plan of %s, task %s\n%s", run.family.name, run.task, text)
    lines = faults(rows, 1e9 * run.machine.gpu_memory_gb, *_free(run.data_root))
    if lines:
        raise CannotFitError("the run cannot fit. " + "; ".join(lines))
    return text


def _free(data_root: str) -> tuple[float, float | None]:
    """Bytes free for the data folder and for the hub's cache; None for this where they share a disk."""
    from huggingface_hub.constants import HF_HUB_CACHE

    data, cache = (_existing(Path(folder).absolute()) for folder in (data_root, HF_HUB_CACHE))
    shared = data.stat().st_dev == cache.stat().st_dev
    return shutil.disk_usage(data).free, None if shared else shutil.disk_usage(cache).free


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())
