"""Write what Kedro-Viz shows as a static site, build/, that asks for nothing outside itself.

    python scripts/viz_site.py

`kedro viz build` leaves a page that fetches a font from another host, and asks for package metadata that only
its server has. Without the font the browser's own is used.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

OUTSIDE = re.compile(r"<link\b[^>]*https?://[^>]*>\s*")
METADATA = {"has_missing_dependencies": False, "package_compatibilities": []}


def main() -> None:
    """Build the site in the current folder, the root of the project, and make it complete."""
    subprocess.run([sys.executable, "-m", "kedro", "viz", "build", "--include-previews"], check=True)
    complete(Path("build"))
    print(f"python -m http.server --directory {Path('build').resolve()} --bind 127.0.0.1 4141")


def complete(site: Path) -> None:
    """Take the links to other hosts out of the pages of a built site; add the metadata that it asks for."""
    for page in site.glob("*.html"):
        page.write_text(OUTSIDE.sub("", page.read_text()))
    (site / "api" / "metadata").write_text(json.dumps(METADATA))


if __name__ == "__main__":
    main()
