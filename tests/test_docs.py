"""The documents name what there is: datasets of the catalog, files, targets of the Makefile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_dataset_of_the_catalog_is_documented() -> None:
    text = re.sub(r"\$\{\w+:([^}]*)\}", r"\1", (ROOT / "conf/base/catalog.yml").read_text())
    names = [name for name in yaml.safe_load(text) if not name.startswith("_")]
    named = set(re.findall(r"`([^`]+)`", (ROOT / "docs/artifacts.md").read_text()))
    of_models = re.compile(r"\{role\}\.(base|tuned|tuned_corpus|instruct)\.")
    missing = [name for name in names if of_models.sub("{role}.{arm}.", name) not in named]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_files_and_targets_that_exist(page) -> None:
    text = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in re.findall(r"^    make ([a-z -]+)", text, re.MULTILINE):
        assert set(line.split()) <= targets, line
    for target in re.findall(r"`make ([a-z-]+)`", text):
        assert target in targets
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    paths = re.findall(r"`((?:docs|src|conf|notebooks|benchmarks|tests|scripts)/[\w./-]+)`", text)
    made = (
        "docs/replication",
        "docs/images/claims.svg",
        "conf/mine",
        "conf/local/mlflow.yml",
    )  # by make, and by the reader
    for place in [*(page.parent / link for link in links), *(ROOT / path for path in paths)]:
        shown = str(place.resolve().relative_to(ROOT))
        assert place.exists() or shown.startswith(made), f"{page.name} names {shown}"


def test_benchmarks_name_their_machine_by_its_cores() -> None:
    for path in (ROOT / "benchmarks/results").glob("*.md"):
        assert not re.search("load average|Xeon|EPYC|Processor", path.read_text()), path.name
