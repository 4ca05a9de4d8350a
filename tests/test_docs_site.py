"""The pages of the documentation site, without MkDocs; `make docs` checks the links of what it builds."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path, PurePosixPath

import pytest
import yaml

from circuit_distillation import api

ROOT = Path(__file__).parents[1]


def _generated() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("docs_pages", ROOT / "scripts/docs_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages()


GENERATED = _generated()
PAGES = GENERATED | {path.name: path.read_text() for path in (ROOT / "docs").glob("*.md")}


def test_every_page_has_a_place_in_the_navigation() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert sorted(_leaves(nav)) == sorted(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_links_inside_the_site_lead_to_pages_and_headings(page: str) -> None:
    prose = re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)
    for link in re.findall(r'(?:\]\(|src=")([^)"]+)', prose):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        path = str(PurePosixPath(page).parent / target) if target else page
        assert path in PAGES or (ROOT / "docs" / path).is_file() or path == "report.html", link
        if anchor:
            assert anchor in _anchors(PAGES[path]), link


def test_the_reference_names_modules_and_functions_that_exist() -> None:
    public = GENERATED["reference/api.md"]
    assert {name.strip("`") for name in re.findall(r"\[(`\w+`)\]\[", public)} == set(api.__all__)
    for name in re.findall(r"\]\[([\w.]+)\]", public):
        module, attribute = name.rsplit(".", 1)
        assert getattr(importlib.import_module(module), attribute).__module__ == module
    modules = re.findall(r"^::: (\S+)$", "\n".join(GENERATED.values()), re.MULTILINE)
    assert len(modules) > 100
    assert all((ROOT / "src").joinpath(*name.split(".")).with_suffix(".py").is_file() for name in modules)


def _leaves(nav: list) -> list[str]:
    found: list[str] = []
    for entry in nav:
        (value,) = entry.values()
        found += [value] if isinstance(value, str) else _leaves(value)
    return found


def _anchors(text: str) -> set[str]:
    """Headings as MkDocs turns them into anchors."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}
