"""The library alone: one namespace, and no Kedro behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from circuit_distillation import api

SRC = Path(__file__).parents[1] / "src"

KEDRO_SIDE = {"pipelines", "datasets", "hooks"}
KEDRO_SIDE |= {"__main__", "cli", "runner", "status", "settings", "pipeline_registry"}
ASKS_FOR_KEDRO = ("kedro", "kedro_datasets", "kedro_mlflow", "kedro_viz", "mlflow", "omegaconf", "click")


def test_every_promised_name_is_there_with_its_documentation() -> None:
    assert sorted(api.__all__) == api.__all__
    assert all(getattr(api, name).__doc__ for name in api.__all__)


def test_the_whole_library_imports_where_kedro_is_not_installed() -> None:
    files = [path.relative_to(SRC).with_suffix("") for path in SRC.rglob("*.py")]
    modules = [".".join(file.parts) for file in files if file.parts[1] not in KEDRO_SIDE]
    assert "circuit_distillation.api" in modules and "circuit_distillation.circuits.search" in modules
    done = _without_kedro(f"import importlib\nfor name in {modules}: importlib.import_module(name)")
    assert done.returncode == 0, done.stderr


def test_the_engine_alone_imports_no_tables_figures_or_training() -> None:
    """Its import stays within a fraction of a second of those of torch and transformers."""
    done = _without_kedro(
        "import circuit_distillation.circuits.path_patching\n"
        "import circuit_distillation.circuits.mean_ablation, circuit_distillation.circuits.evaluation\n"
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
