"""Make a plain folder of a GGUF file: `python -m circuit_distillation.models.gguf FILE FOLDER`.

transformers reads the file (with the package gguf, the extra of that name). Quantised weights are dequantised
to float32: they stay the rounded ones, which a note in the folder says.
"""

from __future__ import annotations

import argparse
import hashlib
import struct
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.models.checkpoint_files import check_config, check_weights
from circuit_distillation.storage.folders import new_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MAGIC = b"GGUF"
NOTE = """# Dequantised weights

These weights were read from the GGUF file `{name}` and dequantised to float32 by transformers.
SHA-256 of the file: {digest}
Number formats in it: {kinds}

Quantised weights are rounded copies of the original ones: every result should say so.
"""


def convert(file: Path, folder: Path) -> None:
    """Write model, tokenizer and the note as a new folder, whole or not at all.

    ValueError for a file that is absent or no GGUF file, or that holds a model which this project or
    transformers cannot take; for a folder that is there already; and without the package gguf.
    """
    if find_spec("gguf") is None:
        raise ValueError("the package gguf is missing: pip install circuit-distillation[gguf]")
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    with file.open("rb") as start:
        if start.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{file} is no GGUF file: it does not begin with GGUF")
    if folder.exists():
        raise ValueError(f"{folder} is there already: name a new folder")
    model, tokenizer = _read(file)
    with new_folder(folder) as beside:
        model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        check_config(beside)
        check_weights(beside)
        note = NOTE.format(name=file.name, digest=_sha256(file), kinds=", ".join(_kinds(file)))
        (beside / "README.md").write_text(note, encoding="utf-8")


def _read(file: Path) -> tuple[CausalLM, PreTrainedTokenizerFast]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"gguf_file": file.name, "local_files_only": True}
    try:
        model = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **source)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **source)
    except (OSError, ValueError, LookupError, NotImplementedError, RuntimeError, struct.error) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"transformers cannot read {file}: {reason}") from None
    return _plain(model), tokenizer


def _plain(model: CausalLM) -> CausalLM:
    """The same weights in a model that does not call itself quantised."""
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = torch.float32
    with torch.device("meta"):
        plain = type(model)(config)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    return plain


def _kinds(file: Path) -> list[str]:
    """Number formats of the stored tensors."""
    from gguf import GGUFReader

    return sorted({tensor.tensor_type.name for tensor in GGUFReader(file).tensors})


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """The command; one line on stderr for whatever stops it."""
    parser = argparse.ArgumentParser(prog="python -m circuit_distillation.models.gguf", description=__doc__)
    parser.add_argument("file", type=Path, help="a GGUF file")
    parser.add_argument("folder", type=Path, help="the new folder, for family.models.ROLE.path")
    given = parser.parse_args(arguments)
    try:
        convert(given.file, given.folder)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{given.folder} holds the dequantised weights of {given.file}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
