"""Pages of the documentation site that are no file of docs/: a hook of MkDocs (`make docs`).

README, CONTRIBUTING and CHANGELOG; the notebooks; a reference page for each room of the library; and the page
of a run, if there is one under data/.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "circuit_distillation"
REPORT = ROOT / "data" / "08_reporting" / "mini" / "report.html"
ROOMS = (
    *("circuits", "mapping", "models", "similarity", "statistics"),
    *("tasks", "training", "reporting", "study"),
)


def on_files(files: Any, config: Any) -> Any:
    """MkDocs calls this with the files of docs/; adds the generated ones."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    if REPORT.is_file():
        files.append(File.generated(config, "report.html", abs_src_path=str(REPORT)))
    return files


def pages() -> dict[str, str]:
    """Markdown by path in the site."""
    found = {
        "index.md": _from_root("README.md"),
        "CONTRIBUTING.md": _from_root("CONTRIBUTING.md"),
        "CHANGELOG.md": _from_root("CHANGELOG.md"),
        "run.md": _run(REPORT.is_file()),
        "reference/api.md": _public(),
    }
    found |= {f"notebooks/{path.stem}.md": _notebook(path) for path in (ROOT / "notebooks").glob("*.ipynb")}
    return found | {f"reference/{room}.md": _room(room) for room in ROOMS}


def _from_root(name: str) -> str:
    """A page of the root, with its links as seen from docs/."""
    text = (ROOT / name).read_text()
    return re.sub(r'(\]\(|src=")docs/', r"\1", text)


def _run(there: bool) -> str:
    where = "[Open it](report.html)." if there else "`make run` makes it, then `make docs` puts it here."
    shown = "tables, significance, figures, circuits"
    return f"# The page of a run\n\nEvery run ends with one page: {shown}. {where}\n"


def _notebook(path: Path) -> str:
    """The cells in order, code as code; notebooks are kept without outputs."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join([*parts, f"The notebook is `notebooks/{path.name}`.\n"])


def _public() -> str:
    """What `circuit_distillation.api` gives, with the modules where it is defined."""
    tree = ast.parse((PACKAGE / "api.py").read_text())
    tables = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    rows = [
        f"| [`{name}`][circuit_distillation.{module}.{name}] | `{module}` |"
        for module, names in ast.literal_eval(tables[0]).items()
        for name in names
    ]
    head = "| `circuit_distillation.api` | defined in |\n|:---|:---|"
    return "\n".join(["# Public functions\n", f"{ast.get_docstring(tree)}\n", head, *rows, ""])


def _room(room: str) -> str:
    modules = "\n\n".join(f"::: {name}" for name in _modules(PACKAGE / room))
    about = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text()))
    return f"# {room}\n\n{about}\n\n{modules}\n"


def _modules(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.py")):
        if path.stem != "__init__":
            yield ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
