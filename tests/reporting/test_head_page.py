"""The page of heads: what it holds, that nothing in it can break it, and what a browser makes of it."""

from __future__ import annotations

import base64
import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import chromium
from head_page_inputs import BY_FUNCTION, MAPPING, head_page_inputs
from test_page_in_chromium import LOW_CONTRAST

from circuit_distillation.reporting import head_page
from circuit_distillation.tasks import get_task


@pytest.fixture(scope="module")
def inputs():
    return head_page_inputs()


@pytest.fixture(scope="module")
def stored(inputs) -> dict:
    """The data that the page carries."""
    text = head_page.render(inputs[0])
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def test_pairs_of_both_mappings_stand_once_and_can_be_chosen() -> None:
    pairs = head_page.shown_pairs(MAPPING, BY_FUNCTION, [])
    assert [(pair["student"], pair["teacher"], pair["rules"]) for pair in pairs] == [
        ((1, 2), (1, 2), ["nearest", "attention_profile"]),
        ((0, 1), (1, 3), ["attention_profile"]),
    ]
    assert [pair["student"] for pair in head_page.shown_pairs(MAPPING, BY_FUNCTION, [(0, 1)])] == [(0, 1)]
    with pytest.raises(ValueError, match="no mapping pairs L1.H0; there are L0.H1, L1.H2"):
        head_page.shown_pairs(MAPPING, BY_FUNCTION, [(1, 0)])


def test_prompts_are_of_as_many_kinds_as_there_are() -> None:
    chosen = head_page.choose_prompts(get_task("tom").generate(40, 0), 8)
    assert len({(example.template, example.cell) for example in chosen}) == 8


def test_the_page_holds_what_the_views_hold(inputs, stored) -> None:
    _, _, views, prompts = inputs
    assert stored["prompts"][0]["roles"].count("previous_label") == 1
    assert stored["prompts"][0]["roles"][-1] == "last" and stored["prompts"][1]["answer"] == prompts[1].answer
    view, found = views["circuit_ce"][1].heads[0, 1], stored["views"]["circuit_ce"][1]["heads"]["L0.H1"]
    n = len(view.attention)
    weights = np.zeros((n, n))
    weights[np.tril_indices(n)] = np.frombuffer(base64.b64decode(found["attention"]), np.uint8) / 255
    np.testing.assert_allclose(weights, view.attention.numpy(), atol=0.5 / 255 + 1e-9)
    assert found["rank"] == view.answer_rank.tolist() and len(found["top"]) == n
    fetcher = stored["heads"]["student"]["L1.H2"]
    assert (fetcher["role"], fetcher["redraws"], fetcher["stages"][0]["name"]) == (
        "Value fetcher", 0.75, "Value fetcher",
    )  # fmt: skip


def test_no_word_can_end_the_data(inputs) -> None:
    data = {**inputs[0], "words": ["</script><script>alert(1)</script>"]}
    text = head_page.render(data)
    assert text.count("</script>") == 2 and "<script>alert" not in text


def test_a_pair_is_a_picture_of_every_model(inputs) -> None:
    data, pairs, views, _ = inputs
    files = head_page.pair_pictures(data, pairs, views)
    assert list(files) == ["pair_L1.H2_L1.H2.svg", "pair_L0.H1_L1.H3.svg"]
    root = ElementTree.fromstring(files["pair_L0.H1_L1.H3.svg"])
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"GOAT-L", "Base-S", "CE, circuit distilled"} <= set(texts)


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.mark.parametrize("width", [390, 1440])
def test_in_a_browser_heads_are_walked_and_saved(inputs, browser, tmp_path, width) -> None:
    path = tmp_path / "heads.html"
    path.write_text(head_page.render(inputs[0]), encoding="utf-8")
    page, heard = browser.new_page(viewport={"width": width, "height": 900}), []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda request: heard.append(request.url))
    page.goto(path.as_uri())
    assert page.locator("figure").count() == 3
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(LOW_CONTRAST) == []
    page.locator("figure svg").first.focus()
    page.keyboard.press("Home")
    assert "(token 0)" in page.locator("figure .at").first.inner_text()
    page.locator("#tokens button").nth(3).hover()
    assert "(token 3)" in page.locator("figure .at").last.inner_text()
    page.locator("#pair").select_option("1")
    assert page.locator("figure strong").last.inner_text() == "CE, circuit distilled, L0.H1"
    page.locator("#models input").last.uncheck()
    assert page.locator("figure").count() == 2
    starts = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF-1.4"}
    for form, start in starts.items():
        with page.expect_download() as download:
            page.locator(f'[data-as="{form}"]').click()
        assert download.value.suggested_filename == f"heads_L0.H1_L1.H3_prompt1.{form}"
        assert download.value.path().read_bytes().startswith(start)
    outside = [text for text in heard if not text.startswith((path.as_uri(), "data:", "blob:"))]
    assert outside == []
    page.close()
