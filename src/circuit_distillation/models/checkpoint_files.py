"""Is a folder a complete checkpoint that this project can run? Checked without loading the weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from circuit_distillation.models.architecture import MODEL_TYPES, CausalLM

HEAD, COMPUTED = "lm_head.weight", "rotary_emb.inv_freq"  # old files hold the latter, which is computed
SETTINGS = ("config.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json")
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
# Bytes that are read for a digest of weights, and at most how far apart: the rows of one head of a model of
# 1B parameters take 2^18, those of larger ones more.
BLOCK, STRIDE = 4096, 2**17


def check_config(folder: Path) -> dict[str, Any]:
    """The configuration. ValueError if it is missing or broken, or names what this project cannot run."""
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder} has no config.json: it is no checkpoint, or only half of one")
    config = _json(path)
    if config.get("auto_map"):
        raise ValueError(f"{folder} wants to run code of its own (auto_map), which is never done")
    if config.get("model_type") not in MODEL_TYPES:
        raise ValueError(
            f"{folder} is of model type {config.get('model_type')!r}, not one of {', '.join(MODEL_TYPES)}"
        )
    if config.get("quantization_config"):
        raise ValueError(f"{folder} is quantised: use the original weights, heads are read and trained here")
    if not (folder / "tokenizer.json").is_file():
        raise ValueError(f"{folder} has no tokenizer.json: a fast tokenizer is needed")
    return config


def check_weights(folder: Path) -> None:
    """ValueError unless safetensors files hold the weights of the configured model, all and no others."""
    found: dict[str, list[int]] = {}
    for path in _weight_files(folder):
        found |= _tensors(path)
    expected = expected_shapes(folder)
    missing = sorted(set(expected) - set(found))
    if missing:
        raise ValueError(f"{folder} lacks {len(missing)} weights, {missing[0]} first: it is half written")
    wrong = sorted(name for name, shape in expected.items() if found[name] != shape)
    if wrong:
        raise ValueError(
            f"{folder}: {wrong[0]} has shape {found[wrong[0]]}, its config.json says {expected[wrong[0]]}"
        )
    _check_unused(folder, set(found) - set(expected))


def _check_unused(folder: Path, names: set[str]) -> None:
    """ValueError if weights are stored that the configured model would leave out."""
    if HEAD in names:
        _check_tied(folder)
    unused = sorted(name for name in names - {HEAD} if not name.endswith(COMPUTED))
    if unused:
        raise ValueError(
            f"{folder} holds {len(unused)} weights that its config.json has no place for, {unused[0]} first: "
            "it is the config.json of another model; put the one of these weights there"
        )


def _check_tied(folder: Path) -> None:
    """ValueError unless the stored unembedding is the embedding, to which the configuration ties it."""
    import torch
    from safetensors import safe_open

    ends = []
    for name in (HEAD, "model.embed_tokens.weight"):
        for path in _weight_files(folder):
            with safe_open(path, framework="pt") as file:
                ends += [file.get_tensor(name)] if name in file.keys() else []
    if not torch.equal(*ends):
        raise ValueError(
            f"{folder}/config.json ties {HEAD} to the embeddings, the file holds another one: write "
            '"tie_word_embeddings": false there'
        )


def settings_digest(folder: Path) -> str:
    """Digest of the configuration and the tokenizer, which make of the same weights another model."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in SETTINGS for path in folder.glob(pattern)):
        digest.update(f"{path.name} {path.stat().st_size} ".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def sampled_digest(folder: Path) -> str:
    """Digest of the names and sizes of the files of weights and of at least 64 evenly spread blocks of each.

    It reads a thirtieth of a large file. Other weights of the same shapes have
    another one, also if one head alone differs; a few changed bytes may be missed.
    """
    digest = hashlib.sha256()
    for path in _weight_files(folder):
        size = path.stat().st_size
        digest.update(f"{path.name} {size} ".encode())
        with open(path, "rb") as file:
            for place in range(0, size, max(BLOCK, min(STRIDE, size // 64))):
                file.seek(place)
                digest.update(file.read(BLOCK))
    return digest.hexdigest()


def expected_shapes(folder: Path) -> dict[str, list[int]]:
    """Name -> shape of every weight that the configured model stores; tied weights are stored once."""
    model = empty_model(folder)
    tied = {HEAD} if model.config.tie_word_embeddings else set()
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items() if name not in tied}


def empty_model(folder: Path) -> CausalLM:
    """The configured model without memory for its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
    except (TypeError, ValueError, ZeroDivisionError, RuntimeError) as error:
        raise ValueError(f"{folder}/config.json makes no model: {str(error).splitlines()[0]}") from None


def _weight_files(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file():
        names = sorted(set(_json(folder / INDEX).get("weight_map", {}).values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing or not names:
            raise ValueError(
                f"{folder} lacks {', '.join(missing) or 'all files of its index'}: download it again"
            )
        return [folder / name for name in names]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt*")):
        raise ValueError(f"{folder} has pickled weights only: safetensors are needed, save it as such")
    raise ValueError(f"{folder} has no weights ({SINGLE}): download them or give another folder")


def _tensors(path: Path) -> dict[str, list[int]]:
    """Name -> shape from the header of a safetensors file. ValueError if the file is shorter than it says."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 + length or length == 0:
            raise ValueError(f"{path} is cut off: download or save it again")
        try:
            header = json.loads(file.read(length))
        except ValueError:
            raise ValueError(f"{path} is no safetensors file: download or save it again") from None
    header.pop("__metadata__", None)
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if size != 8 + length + end:
        raise ValueError(f"{path} holds {size} bytes, its header says {8 + length + end}: it is half written")
    return {name: entry["shape"] for name, entry in header.items()}


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"{path} is not JSON: it is broken or half written") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold one JSON object")
    return content
