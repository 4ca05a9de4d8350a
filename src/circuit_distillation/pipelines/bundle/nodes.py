"""Put a student together for others, and hand it to MLflow and to the hub."""

from __future__ import annotations

import io
import json
import logging
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

from circuit_distillation.parameters import plain
from circuit_distillation.parameters.looks import Publishing
from circuit_distillation.pipelines.tracking import flatten, going_on

log = logging.getLogger(__name__)


def make_bundle(
    checkpoint,
    settings: dict,
    heads: dict,
    pairs: dict,
    teacher_circuit: dict,
    predictions,
    base,
    teacher,
    fingerprints: dict,
    family: dict[str, Any],
    n_train: int,
    given: dict[str, Any],
    student: str,
    **run,
) -> tuple:
    """The checkpoint and the files that go with it; `run` is task, seed, training_seed and experiment."""
    from circuit_distillation.reporting.model_card import model_card, reproduce_command

    family, (role, arm) = plain(family), student.split(".")
    of_run = {**run, "family": family["name"], "role": role, "arm": arm}
    command = reproduce_command(of_run, flatten(given["params"]), given["env"])
    card = model_card(
        run=of_run,
        labels={name: one["label"] for name, one in family["roles"].items()},
        models=family.get("models"),
        settings=settings,
        heads=heads,
        pairs=pairs,
        predictions={"this student": predictions, "the base student": base, "the teacher": teacher},
        n_train=n_train,
        command=command,
        version=version("circuit-distillation"),
    )
    records = {"circuit": heads, "teacher_circuit": teacher_circuit, "mapping": pairs, "settings": settings}
    records["fingerprints"] = fingerprints
    files = {f"{name}.json": json.dumps(record, indent=1).encode() for name, record in records.items()}
    table = io.BytesIO()
    predictions.to_parquet(table, index=False)
    files |= {"README.md": card.encode(), "predictions.parquet": table.getvalue()}
    return checkpoint, files | {"reproduce.sh": f"#!/bin/sh\n{command}\n".encode()}


def register_student(folder: Path, predictions, student: str, **run) -> dict[str, Any]:
    """A version of the student in MLflow's registry: with its card and accuracies, without its weights."""
    from circuit_distillation.pipelines.bundle.registry import register

    found: dict[str, Any] = {"name": None, "version": None}
    with going_on(f"the registered model of {student}"):
        accuracies = {part: float(predictions[f"{part}_correct"].mean()) for part in ("full", "circuit")}
        found = register(folder, {"student": student, **run}, accuracies)
    return found


def publish_bundle(folder: Path, wanted: Publishing) -> dict[str, Any]:
    """Push the folder to the hub, or only say what would be pushed. ValueError if it cannot be pushed."""
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    size = sum(files.values()) / 1e6
    log.info("bundle of %d files, %.1f MB: %s", len(files), size, folder)
    if not wanted.push:
        log.info("nothing was pushed; --params bundle.push=true,bundle.repo=owner/name pushes it to the hub")
        return {"repo": wanted.repo, "pushed": False, "files": files}
    url = _push(folder, wanted)
    log.info("pushed to %s", url)
    return {"repo": wanted.repo, "pushed": True, "files": files, "url": url}


def _push(folder: Path, wanted: Publishing) -> str:
    from huggingface_hub import HfApi

    from circuit_distillation.storage.errors import first_line

    token = os.environ.get("HF_TOKEN")
    if not token:
        raise ValueError("`bundle.push` needs a token of the hub that may write: set HF_TOKEN")
    api = HfApi(token=token)
    try:
        api.create_repo(wanted.repo, private=wanted.private, exist_ok=True)
        return str(
            api.upload_folder(repo_id=wanted.repo, folder_path=folder, commit_message="Upload a student")
        )
    except Exception as error:  # of any kind: those of the client and those of the network
        raise ValueError(
            f"the hub has not taken {wanted.repo} ({first_line(error).replace(token, '...')}): check the "
            "name, the token and the network; the bundle itself is whole"
        ) from None
