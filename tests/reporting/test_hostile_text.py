"""Text from outside (labels, values, figures on disk) never becomes markup, script or a LaTeX command."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from synthetic import predictions, run_inputs
from test_page import checked

from circuit_distillation.reporting.facts import run_facts
from circuit_distillation.reporting.figures import run_figures
from circuit_distillation.reporting.page import render_page
from circuit_distillation.reporting.results import result_rows
from circuit_distillation.reporting.significance import significance_table
from circuit_distillation.reporting.table_text import to_latex, to_markdown
from circuit_distillation.reporting.tables import build_table

LABELS = {
    "small": "<script>alert(1)</script>",
    "medium": r"\input{/etc/passwd} $\frac{",
    "large": '"></title><img src=x onerror=alert(1)> | [a](b)',
}
RUN = dict(task="entity", seed=0, experiment="paper")
STORED = {f"{role}.{arm}": predictions("entity", 0.6, k) for role in ("small", "medium") for k, arm in
          enumerate(("base", "circuit_ce", "full_ce", "circuit_ce_align_cka"))}  # fmt: skip


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    named = [(*key.split("."), frame) for key, frame in STORED.items()]
    named.append(("large", "tuned", STORED["small.base"]))
    rows = [result_rows(frame, **RUN, model=role, arm=arm) for role, arm, frame in named]
    return pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="module")
def inputs(results) -> dict:
    drawn = run_inputs()
    values = {"Parameters": {"<i>name</i>": "</td><script>alert(2)</script>", "prompt": r"\input{x}"}}
    return dict(
        family="mini",
        labels=LABELS,
        results=results,
        significance=significance_table(STORED, **RUN),
        figures=run_figures(**RUN, labels=LABELS, **drawn),
        facts=run_facts(**RUN, mappings=drawn["mappings"], groups=values),
    )


def test_the_page_shows_hostile_text_and_runs_none_of_it(inputs) -> None:
    page = render_page(**inputs)
    checker = checked(page)
    assert checker.counts["script"] == 1 and "img" not in checker.counts and "i" not in checker.counts
    assert "Base-&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search(r"<[^>\"]*\sonerror=", page)


@pytest.mark.parametrize("number", [1, 3])
def test_latex_gets_no_command_from_a_label(results, number: int) -> None:
    text = to_latex(build_table(results, number, LABELS), "Caption", "tab:x")
    assert r"\input" not in text and r"\textbackslash{}input\{/etc/passwd\}" in text
    assert set(re.findall(r"\\([a-z]+)", text)) <= {
        "begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule",
        "textbackslash", "textasciitilde", "textasciicircum",
    }  # fmt: skip


def test_markdown_gets_neither_tags_nor_links_nor_cells_from_a_label(results) -> None:
    lines = to_markdown(build_table(results, 1, LABELS), "Caption").splitlines()[2:]
    bare = [re.sub(r"\\.", "", line) for line in lines]  # what stands behind a backslash is literal
    assert len({line.count("|") for line in bare}) == 1
    assert not [line for line in bare if re.search(r"[<>\[\]`*]", line)]


@pytest.mark.parametrize(
    "inside",
    ["<script>alert(1)</script>", '<g onclick="alert(1)"></g>', '<image href="http://x.org/y"></image>']
    + ['<a href="javascript:alert(1)"></a>', "<foreignObject></foreignObject>", "<g>"],
)
def test_a_figure_with_active_content_is_refused(inputs, inside: str) -> None:
    name, svg = next(iter(inputs["figures"].items()))
    spoilt = svg.decode().replace("</svg>", f"{inside}</svg>").encode()
    with pytest.raises(ValueError, match="draw the figures again"):
        render_page(**{**inputs, "figures": {name: spoilt}})
