"""The teacher's labels and activations on a split, computed once and stored.

Stored in safetensors with the hashes of teacher and data, and read by every arm and both students, so that
the teacher is not in memory during training. `distill` refuses signals of other prompts or other rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from circuit_distillation.compute.halving import within_memory
from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.models.encoding import Encoded
from circuit_distillation.models.loading import model_hash
from circuit_distillation.storage.tensors import read_tensors, write_tensors
from circuit_distillation.training.features import RecordedFeatures, Site, row_positions


@dataclass(frozen=True)
class TeacherSignals:
    """A teacher on the n examples of a split.

    labels [n]: its argmax over the whole vocabulary after the last token. logits [n, vocabulary]: only where
    soft labels are wanted. features: site -> [n, row, width], of the heads' `observable` at the
    tokens that `rows` names. teacher_hash and data_hash (of the prompts and their rows) say what the tensors
    are of.
    """

    labels: Tensor
    logits: Tensor | None
    features: dict[Site, Tensor]
    rows: str
    teacher_hash: str
    data_hash: str
    observable: str = "z"


@torch.no_grad()
def teacher_signals(
    teacher: CausalLM,
    encoded: Encoded,
    sites: Sequence[Site],
    *,
    rows: str = "last",
    observable: str = "z",
    keep_logits: bool = False,
    batch_size: int = 64,
) -> TeacherSignals:
    """Run the teacher over a split once. `sites` are its heads (layer, head), or layers (layer, None)."""
    positions, _ = row_positions(encoded, rows)
    device = next(teacher.parameters()).device

    def run(size: float) -> TeacherSignals:
        labels, logits = [], []
        features: dict[Site, list[Tensor]] = {site: [] for site in sites}
        with RecordedFeatures(teacher, sites, observable) as recorded:
            for start in range(0, len(encoded.input_ids), int(size)):
                batch = slice(start, start + int(size))
                last = _last_logits(teacher, encoded, batch, device).cpu()
                labels.append(last.argmax(-1))
                logits.append(last if keep_logits else last[:0])
                for site, values in recorded.at(positions[batch].to(device)).items():
                    features[site].append(values.cpu())
        return TeacherSignals(
            labels=torch.cat(labels),
            logits=torch.cat(logits) if keep_logits else None,
            features={site: torch.cat(values) for site, values in features.items()},
            rows=rows,
            observable=observable,
            teacher_hash=model_hash(teacher),
            data_hash=data_hash(encoded, rows),
        )

    return within_memory("the teacher's signals", batch_size, "prompts", run)


def data_hash(encoded: Encoded, rows: str) -> str:
    """SHA-256 over the prompts and the positions of their rows."""
    digest = hashlib.sha256(rows.encode())
    positions, _ = row_positions(encoded, rows)
    for tensor in (encoded.input_ids, encoded.attention_mask, encoded.positions["last"], positions):
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_signals(signals: TeacherSignals, path: str | Path) -> None:
    """Write one safetensors file, whole or not at all."""
    tensors = {_key(site): values for site, values in signals.features.items()}
    tensors["labels"] = signals.labels
    if signals.logits is not None:
        tensors["logits"] = signals.logits
    about = {name: getattr(signals, name) for name in ("rows", "observable", "teacher_hash", "data_hash")}
    write_tensors(path, tensors, about)


def load_signals(path: str | Path) -> TeacherSignals:
    """Read a file of `save_signals`."""
    tensors, about = read_tensors(path)
    labels, logits = tensors.pop("labels"), tensors.pop("logits", None)
    return TeacherSignals(labels, logits, {_site(key): values for key, values in tensors.items()}, **about)


def _last_logits(teacher: CausalLM, encoded: Encoded, batch: slice, device: torch.device) -> Tensor:
    """Logits [batch, vocabulary] after the last token of each example; no other position is unembedded."""
    ids, mask = encoded.input_ids[batch].to(device), encoded.attention_mask[batch].to(device)
    hidden = teacher.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    last = encoded.positions["last"][batch].to(device)
    return teacher.lm_head(hidden[torch.arange(len(ids), device=device), last])


def _key(site: Site) -> str:
    layer, head = site
    return f"layer.{layer}" if head is None else f"head.{layer}.{head}"


def _site(key: str) -> Site:
    numbers = [int(number) for number in key.split(".")[1:]]
    return (numbers[0], None) if len(numbers) == 1 else (numbers[0], numbers[1])
