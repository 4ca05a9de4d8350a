from __future__ import annotations

import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from page_inputs import CLAIM, page_inputs
from synthetic import LABELS, run_inputs

from circuit_distillation.reporting.facts import run_facts
from circuit_distillation.reporting.figures import run_figures
from circuit_distillation.reporting.page import render_page
from circuit_distillation.reporting.results import COLUMNS
from circuit_distillation.reporting.significance import COLUMNS as TEST_COLUMNS

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Checker(HTMLParser):
    """Balanced tags, unique ids, scoped header cells, nothing loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.counts: dict[str, int] = {}
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attributes) -> None:
        found = dict(attributes)
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "th":
            assert found.get("scope") in ("row", "col", "rowgroup", "colgroup")
        self.links += [found[name] for name in ("href", "src", "xlink:href") if name in found]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attributes) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()


def checked(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    assert len(checker.ids) == len(set(checker.ids))
    assert all(link.startswith(("#", "data:")) for link in checker.links)
    anchors = {link[1:] for link in checker.links if link.startswith("#")}
    assert anchors <= set(checker.ids)
    return checker


@pytest.fixture(scope="module")
def inputs() -> dict:
    return page_inputs()


@pytest.fixture(scope="module")
def page(inputs) -> str:
    return render_page(**inputs, scaffolded=True, in_domain_shares={"entity": 0.5})


def test_the_page_is_one_sound_self_contained_document(page: str) -> None:
    checker = checked(page)
    assert checker.counts["svg"] == checker.counts["figure"] == 3 * 8 + 1  # and the answer
    assert checker.counts["table"] >= 9
    assert checker.counts["caption"] == checker.counts["table"]
    assert "default-src 'none'" in page


def test_the_answer_comes_first_and_in_words(page: str) -> None:
    assert page.index("Yes, in every test: on the full model") < page.index("Table 1. Entity tracking")
    assert "significantly better than CE alone in 4 of 4 tests" in page
    first = page[page.index("<li>Entity tracking, Base-Tiny-S: +") :].split("</li>")[0]
    assert ", better; in the paper +0.04" in first


def test_the_family_and_the_mapping_are_described_honestly(page: str, inputs) -> None:
    text = re.sub(r"\s+", " ", page)
    assert "faithfulness is partly by construction" in text
    assert (
        "Entity tracking: 50 % of the mixture that tuned the models is the task&#39;s own data" in text
        or ("Entity tracking: 50 % of the mixture that tuned the models is the task's own data" in text)
    )
    assert "the 3 pairs of student Tiny-S use only 1 distinct teacher head, fewer than half" in text
    plain = render_page(**inputs)
    assert "by construction" not in plain and "of the mixture" not in plain


def test_measured_figures_and_the_papers_stand_in_one_row(page: str, inputs) -> None:
    rows = inputs["results"].query("task == 'entity' and model == 'small' and arm == 'circuit_ce_align_cka'")
    value = rows.set_index("metric")["value"]["full_accuracy"]
    table = page[page.index('id="table-1"') : page.index('id="table-2"')]
    row = next(part for part in table.split("<tr") if "CE + Align CKA" in part and "Base-Tiny-S" in part)
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", row)
    assert cells[0] == "CE + Align CKA" and cells[1] == f"{value:.3f}"
    assert cells[-2:] == ["0.77", "0.73"]


def test_text_is_escaped(page: str) -> None:
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; more" in page and "<b>bold" not in page


def test_later_seeds_are_folded_and_heads_can_be_hovered(page: str) -> None:
    assert "<details open><summary>Theory of mind, seed 0, experiment paper" in page
    assert "<details><summary>Theory of mind, seed 1, experiment paper" in page
    assert '<g class="head"><title>Layer 0, head 0: score' in page


def test_pictures_are_those_of_the_experiment_of_the_page_and_others_are_named(inputs) -> None:
    other = run_figures(task="tom", seed=0, experiment="as_printed", labels=LABELS, **run_inputs())
    figures = inputs["figures"] | {f"tom_seed0_as_printed/{name}": svg for name, svg in other.items()}
    html = render_page(**inputs | {"figures": figures})
    checked(html)
    assert "experiment as_printed</summary>" not in html and "such as <code>tom_seed0_as_printed<" in html
    html = render_page(**inputs | {"figures": figures, "experiment": "as_printed"})
    assert "<details open><summary>Theory of mind, seed 0, experiment as_printed</summary>\n<div" in html
    assert html.count("<svg") == len(other) < len(figures)


def test_a_family_without_runs_has_a_page_too() -> None:
    html = render_page(
        family="mini",
        labels=LABELS,
        results=pd.DataFrame(columns=list(COLUMNS)),
        significance=pd.DataFrame(columns=list(TEST_COLUMNS)),
        figures={},
        facts=run_facts(task="entity", seed=0, experiment="paper", mappings={}, groups={}),
    )
    checked(html)
    assert "so there is no answer" in html
    assert html.count("Nothing of this table has been measured") == 4
    assert "No tests yet" in html and "Nothing to draw yet" in html and "No run has left its record" in html


def test_a_figure_without_words_is_an_error(inputs) -> None:
    with pytest.raises(ValueError, match="draw the figures again"):
        render_page(**{**inputs, "figures": {"x.svg": b"<svg ></svg>"}})


def test_the_corners_of_the_regimes_are_shown_where_they_are_published(inputs):
    assert 'id="corners"' not in render_page(**inputs, corners=pd.DataFrame())
    row = {"group": "Entity tracking", "label": "attention rows", "value": 0.03, "low": float("nan")}
    html = render_page(**inputs, corners=pd.DataFrame([row | {"high": float("nan"), "verdict": "undecided"}]))
    assert 'id="corners"' in html and "attention rows: +0.030, undecided" in html


def test_the_outcome_of_the_study_stands_beside_the_single_seed(page: str, inputs) -> None:
    study = pd.DataFrame([CLAIM])
    shown = render_page(**inputs, study=study)
    checked(shown)
    row = shown[shown.index("Claims of the paper, over the families") :]
    assert "A &lt; B" in row and "−0.020" in row and "0.0430" in row and "does not hold" in row
    assert "Claims of the paper, over the families" not in page
    assert "Theory of mind, A &lt; B: -0.020, does not hold; in the paper +0.04" in shown


def test_times_and_costs_are_summed_over_the_models(page: str) -> None:
    table = page[page.index("Seconds of work in each stage") :].split("</table>")[0]
    row = table.split("Entity tracking, seed 0, paper")[1].split("</tr>")[0]
    assert re.findall(r"<td>(.*?)</td>", row) == ["100", "0", "4", "12", "30", "900"]


def test_the_stability_of_circuits_stands_beside_the_heat_maps(page: str) -> None:
    heads = page[page.index('<section id="heads"') : page.index('<section id="mapping"')]
    rows = re.sub(r"\s*<[^>]*>\s*", "|", heads[heads.index("Overlap of circuits") :])
    assert "|Tiny-L, tuned||0.948||0.882 to 1.000||0.667||||||" in rows
    assert "|Tiny-S, base||0.948||0.882 to 1.000||0.667||0.834||" in rows
    assert "Stability of the circuit of" in heads and "large.tuned.redraws_low" not in page


def test_pages_of_heads_are_linked_once_they_are_there(inputs, page: str) -> None:
    assert "kedro run --pipelines heads --params task=entity,student=small" in page
    linked = render_page(**inputs, viewers=["heads/entity_seed0_paper_small/heads.html"])
    assert '<a href="heads/entity_seed0_paper_small/heads.html">entity_seed0_paper_small</a>.' in linked


def test_rows_of_the_cells_stand_in_blocks(page: str) -> None:
    cells = page[page.index('id="cells"') : page.index('id="corpus"')]
    blocks = re.findall(r'scope="rowgroup"[^>]*>([^<]*)<', cells)
    assert blocks == ["Baselines", "Fully Distilled", "Circuit Distilled"]
