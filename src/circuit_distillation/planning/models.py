"""The models of a run: their shapes, and which of them have to be downloaded."""

from __future__ import annotations

from typing import Any

from circuit_distillation import grid
from circuit_distillation.models import hub
from circuit_distillation.models.checkpoint_files import check_weights
from circuit_distillation.models.loaded_family import files_of, pruned_sizes
from circuit_distillation.models.source import SMALL_FILES, WEIGHTS, ModelSource
from circuit_distillation.parameters.run import Parameters
from circuit_distillation.planning.shapes import KNOWN, Shape, pruned_shape, shape_of


def shapes_of(run: Parameters) -> dict[str, Shape]:
    """By role, from each configuration; the paper's models are known, so that a plan needs no access."""
    models = run.family.models
    assert models is not None, "shapes are those of loaded models"
    shapes = {}
    for role in grid.roles():
        files = files_of(models, role)
        if files.path is None and files.hub_id in KNOWN:
            shapes[role] = KNOWN[files.hub_id]
        else:
            shapes[role] = shape_of(ModelSource(**vars(files)).fetch(weights=False) / "config.json")
    pruned = {role: pruned_shape(shapes["large"], size) for role, size in pruned_sizes(models).items()}
    return shapes | pruned


def downloads_of(run: Parameters) -> list[str]:
    """Models whose weights are neither in a folder of the user's nor in the hub's cache."""
    blocks = {"": run.family.models} | ({"instruct ": run.family.instruct} if grid.instruct() else {})
    wanted = {
        f"{kind}{role}": getattr(block, role) for kind, block in blocks.items() for role in grid.roles()
    }
    wanted = {name: files for name, files in wanted.items() if not getattr(files, "pruned_from", None)}
    return [name for name, files in wanted.items() if files.path is None and not _is_cached(files)]


def _is_cached(files: Any) -> bool:
    folder = hub.cached(files.hub_id, files.revision, SMALL_FILES + WEIGHTS)
    if folder is None:
        return False
    try:
        check_weights(folder)
    except ValueError:  # configuration and tokenizer alone, or half of the weights
        return False
    return True
