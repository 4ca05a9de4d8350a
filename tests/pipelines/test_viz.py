"""Kedro-Viz: a static site of the pipelines, folded by student and arm, in layers, with previews."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading

import pytest
from browser import chromium

from .conftest import ROOT

pytestmark = pytest.mark.slow
PIPELINES = (
    "data_generation", "pretraining", "teacher_tuning", "circuit_discovery", "head_mapping", "distillation",
    "reporting",
)  # fmt: skip
LAYERS = [
    "base models", "prompts", "tuned models", "circuits", "mapping", "students", "predictions", "results",
    "report",
]  # fmt: skip


@pytest.fixture(scope="module")
def site(data_root, tmp_path_factory):
    """The site of `make site` in a copy of the project whose data are those of the run."""
    project = tmp_path_factory.mktemp("viz")
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", project)
    (project / "data").symlink_to(data_root)
    quiet = {"KEDRO_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
    subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "viz_site.py")],
        cwd=project,
        env={**os.environ, **quiet, "PYTHONPATH": str(project / "src")},
        check=True,
        capture_output=True,
    )
    return project / "build"


@pytest.fixture(scope="module")
def graph(site):
    return json.loads((site / "api" / "main").read_text())


def of(graph, name: str) -> dict:
    return next(node for node in graph["nodes"] if node["name"] == name)


def preview(site, graph, name: str) -> tuple[str, dict]:
    answer = json.loads((site / "api" / "nodes" / of(graph, name)["id"]).read_text())
    return answer["preview_type"], answer["preview"]


def test_students_and_arms_fold_and_layers_are_labelled(graph) -> None:
    assert {one["id"] for one in graph["pipelines"]} >= {*PIPELINES, "__default__"}
    arms = graph["modular_pipelines"]["small"]["children"]
    assert {"small.circuit_ce", "small.circuit_ce_align_cka"} <= {one["id"] for one in arms}
    inside = [one["id"] for one in graph["modular_pipelines"]["small.circuit_ce_align_cka"]["children"]]
    assert len(inside) >= 3  # it is trained, tested and tracked
    assert graph["layers"] == LAYERS


def test_tables_heat_maps_and_curves_are_previewed(site, graph) -> None:
    kind, scores = preview(site, graph, "small.base.head_scores")
    assert kind == "PlotlyPreview" and scores["data"][0]["type"] == "heatmap"
    kind, curves = preview(site, graph, "small.circuit_ce_align_cka.history")
    assert kind == "PlotlyPreview" and {one["name"] for one in curves["data"]} >= {"ce", "similarity"}
    kind, table = preview(site, graph, "table1.table_csv")
    assert kind == "TablePreview" and "paper_full_model" in table["columns"] and len(table["data"]) > 10
    kind, prompts = preview(site, graph, "examples.test")
    assert kind == "TablePreview" and len(prompts["data"]) == 5
    assert preview(site, graph, "small.mapping")[0] == "JSONPreview"


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words) -> None:
        """Nothing: the test listens to the browser."""


@pytest.fixture
def address(site):
    handler = functools.partial(Silent, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_browser_shows_the_graph_and_the_heat_map(address, graph) -> None:
    head_scores = of(graph, "small.base.head_scores")["id"]
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        faults, outside, missing = [], [], []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda one: outside.append(one.url) if address not in one.url else None)
        page.on("response", lambda one: missing.append(one.url) if one.status >= 400 else None)
        page.goto(f"{address}/?pid=circuit_discovery&sid={head_scores}")
        page.wait_for_selector(".js-plotly-plot", timeout=60_000)
        for name in ("small", "medium", "large"):
            assert page.get_by_text(name, exact=True).first.is_visible()
        for layer in ("prompts", "circuits"):
            assert page.locator(".pipeline-layer-name", has_text=layer).first.is_visible()
        page.goto(f"{address}/?pid=__default__&types=nodes")
        page.wait_for_selector(".pipeline-node", timeout=60_000)
        boxes = page.locator(".pipeline-node").all_text_contents()
        assert len(boxes) < 20 and {"small", "medium", "large", "tune_models"} <= set(boxes)
        assert faults == []
        assert [url for url in outside if not url.startswith("data:")] == []
        assert missing == []
