"""The changes that docs/extend.md shows: few files, and they work once they are applied."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DIFFS = re.findall(r"```diff\n(.*?)```", (ROOT / "docs/extend.md").read_text(), re.DOTALL)
MOST_FILES = {"similarity": 2, "mapping": 2, "arms.py": 1}  # a loss, a rule, an arm

CHECKS = """
import numpy as np
from configuration import shipped_parameters
from training.distillation_case import HEADS, PAIRS, case, settings, student

from circuit_distillation.mapping.match import match_heads
from circuit_distillation.parameters import validate
from circuit_distillation.parameters.resolve import resolve
from circuit_distillation.training.distill import distill

parameters = shipped_parameters("base")
parameters["distillation"] |= {"similarity": "rsa", "extra_arms": "circuit_kl"}
parameters["head_mapping"]["rule"] = "rank"
found = resolve(validate(parameters), {})
assert found["arms"]["circuit_ce_align_cka"]["alignment"]["similarity"] == "rsa"
assert found["arms"]["circuit_kl"]["loss"] == "kl" and found["arms"]["circuit_kl"]["alignment"] is None
assert found["mapping"]["rule"] == "rank"

assert match_heads([9.0, 1.0, 5.0], [0.1, 0.2, 0.3], "rank") == [(0, 2), (1, 0), (2, 1)]

data = case()
for arm, options in (("circuit_ce_align_cka", {"similarity": "rsa"}), ("circuit_kl", {})):
    history = distill(student(), data.train, data.validation, data.signals, heads=HEADS, pairs=PAIRS,
                      settings=settings(arm, epochs=8, **options), progress_bar=False)
    assert history["loss"].tail(3).mean() < history["loss"].head(3).mean(), arm
    assert set(history["measure"]) == {"RSA of head outputs z" if options else ""}
    assert history["similarity"].between(-1, 1).all() == bool(options)
"""


def files(diff: str) -> list[str]:
    return re.findall(r"^\+\+\+ b/src/circuit_distillation/(\S+)", diff, re.MULTILINE)


@pytest.mark.parametrize("diff", DIFFS, ids=lambda diff: files(diff)[0])
def test_an_extension_touches_few_files(diff):
    assert len(files(diff)) <= MOST_FILES[files(diff)[0].partition("/")[0]]


def test_the_extensions_work(tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for diff in DIFFS:
        subprocess.run(["git", "apply", "-p1", "-"], input=diff, text=True, cwd=tmp_path, check=True)
    paths = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "src"), str(ROOT / "tests")])}
    done = subprocess.run(
        [sys.executable, "-c", CHECKS], env=os.environ | paths, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
