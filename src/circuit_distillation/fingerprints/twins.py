"""Find artifacts of other experiments that equal what a node would make.

The folders of experiments lie side by side. The twin of an artifact has the same path except for the
experiment. It is equal if it was made of the same parameters, inputs and code.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from circuit_distillation.fingerprints.artifacts import Artifact, content
from circuit_distillation.fingerprints.record import Made, read_record
from circuit_distillation.storage.folders import link, remove
from circuit_distillation.storage.seals import BrokenArtifactError, check
from circuit_distillation.training.draws import draw_name

Twins = dict[str, Artifact]
SEED = re.compile(r"seed\d+")


def folders_of(parameters: Mapping[str, Any]) -> set[str]:
    """Names of the folders in which a run keeps what is of its experiment alone."""
    if "experiment" not in parameters:
        return set()
    experiment = str(parameters["experiment"])
    return {experiment, draw_name(experiment, parameters["training_seed"])}


def find_twins(
    artifacts: Mapping[str, Artifact | None], folders: Collection[str], made: Made
) -> tuple[str, Twins] | None:
    """An experiment that has all of the artifacts, made of the same, and its artifacts by dataset name."""
    places = {}
    for name, artifact in artifacts.items():
        place = None if artifact is None else _place(artifact, folders)
        if artifact is None or place is None:
            return None
        places[name] = artifact, place
    if None in made.inputs.values():
        return None
    root, own, _ = next(place for _, place in places.values())
    for sibling in sorted(folder.name for folder in root.glob("*/") if folder.name != own):
        twins = {
            name: artifact._replace(path=top / sibling / rest)
            for name, (artifact, (top, _, rest)) in places.items()
        }
        if all(_is_equal(twin, made) for twin in twins.values()):
            return sibling, twins
    return None


def take(artifact: Artifact, twin: Artifact, made: Made) -> bool:
    """Store the twin as the artifact too.

    False if it is broken, gone, or was replaced since it was found: then the node must run.
    """
    try:
        check(twin.path)
        link(twin.path, artifact.path)
    except (OSError, BrokenArtifactError):
        return False
    if _is_equal(twin, made) and content(artifact) == content(twin):
        return True
    remove(artifact.path)
    return False


def _place(artifact: Artifact, folders: Collection[str]) -> tuple[Path, str, Path] | None:
    """The folder of all experiments, the experiment, the rest of a path; None for what experiments share."""
    if not artifact.is_own or artifact.pattern:
        return None
    parts = artifact.path.parts
    # Folders of experiments lie below family, seed and task; other parts of the path may have the same name.
    found = [i for i in range(2, len(parts) - 1) if parts[i] in folders and SEED.fullmatch(parts[i - 2])]
    return (Path(*parts[: found[-1]]), parts[found[-1]], Path(*parts[found[-1] + 1 :])) if found else None


def _is_equal(twin: Artifact, made: Made) -> bool:
    record = read_record(twin)
    return record is not None and record.made.fingerprint() == made.fingerprint()
