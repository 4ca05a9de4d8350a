"""The library alone: one namespace, and no Kedro behind it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from naive.tiny_models import tiny_model

from circuit_distillation import api
from circuit_distillation.models.loading import Checkpoint, save_checkpoint
from circuit_distillation.models.mini import build_tokenizer

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"

KEDRO_SIDE = {"pipelines", "datasets", "hooks"}
KEDRO_SIDE |= {"__main__", "cli", "runner", "status", "settings", "pipeline_registry"}
ASKS_FOR_KEDRO = ("kedro", "kedro_datasets", "kedro_mlflow", "kedro_viz", "mlflow", "omegaconf", "click")


def test_every_promised_name_is_there_with_its_documentation() -> None:
    assert dir(api) == api.__all__ and {"score_heads", "HeadSlices", "mcnemar_test"} <= set(api.__all__)
    assert all(getattr(api, name).__doc__ and getattr(api, name).__name__ == name for name in api.__all__)
    with pytest.raises(AttributeError, match="no 'score_head': there is .* score_heads"):
        api.score_head


def test_the_lines_of_the_documentation_draw_a_heat_map(tmp_path, monkeypatch) -> None:
    text = (ROOT / "docs/library.md").read_text()
    (lines,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert lines.count("\n", lines.index("model =")) <= 10
    tokenizer = build_tokenizer(sorted(set(re.findall(r"\w+|,", lines))))
    model = tiny_model(vocab_size=len(tokenizer)).float()
    save_checkpoint(Checkpoint(model, tokenizer), tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    exec(lines.replace("HuggingFaceTB/SmolLM2-135M", "model"), {})
    assert (tmp_path / "heads.png").read_bytes().startswith(b"\x89PNG")
    assert set(re.findall(r"`(\w+)`", text.split("## Which models")[0])) >= {
        name for name in api.__all__ if name[0].islower()
    }


def test_the_whole_library_imports_where_kedro_is_not_installed() -> None:
    files = [path.relative_to(SRC).with_suffix("") for path in SRC.rglob("*.py")]
    modules = [".".join(file.parts) for file in files if file.parts[1] not in KEDRO_SIDE]
    assert "circuit_distillation.api" in modules and "circuit_distillation.circuits.search" in modules
    done = _without_kedro(f"import importlib\nfor name in {modules}: importlib.import_module(name)")
    assert done.returncode == 0, done.stderr


def test_the_engine_alone_imports_no_tables_figures_or_training() -> None:
    """Its import stays within a fraction of a second of those of torch and transformers."""
    done = _without_kedro(
        "from circuit_distillation import api\n"
        "api.score_heads, api.head_effects, api.circuit_predictions, api.attribute_heads\n"
        "print([m for m in ('pandas', 'scipy', 'matplotlib', 'accelerate', 'peft') if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_running_the_package_without_kedro_says_what_to_install() -> None:
    done = _without_kedro("import circuit_distillation.__main__")
    assert done.returncode == 1
    assert done.stderr.strip() == "the pipelines need Kedro: pip install 'circuit-distillation[pipeline]'"


def _without_kedro(code: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in a process in which no module of the extra `pipeline` can be imported."""
    hidden = f"import sys\nfor name in {ASKS_FOR_KEDRO}: sys.modules[name] = None\n"
    return subprocess.run(
        [sys.executable, "-c", hidden + code],
        env=os.environ | {"PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
    )
