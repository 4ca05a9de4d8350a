"""The page as a browser shows it: nothing loaded, nothing broken, everything visible, heads that speak."""

from __future__ import annotations

import pandas as pd
import pytest
from browser import chromium
from page_inputs import CLAIM, page_inputs

from circuit_distillation.reporting.page import render_page

# Of every visible text the contrast with what lies behind it (WCAG 2), but for text drawn over pictures.
LOW_CONTRAST = """() => {
  const rgb = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = part => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = rgb(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) { return colour; }
    }
    return [255, 255, 255];
  };
  const faults = [];
  document.querySelectorAll("body *").forEach(node => {
    const own = [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim());
    if (!own || !node.checkVisibility() || node.closest("#tip, script")) { return; }
    const style = getComputedStyle(node), drawn = node.namespaceURI.includes("svg");
    const [a, b] = [rgb(drawn ? style.fill : style.color), behind(node)].map(luminance);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) { faults.push(ratio.toFixed(2) + " " + node.textContent.slice(0, 40)); }
  });
  return faults;
}"""
# Tables and figures outside of folded parts that are not to be seen, and a page wider than its window.
HIDDEN = """() => [...document.querySelectorAll("table, figure, svg")]
  .filter(node => !node.closest("details:not([open])"))
  .filter(node => { const box = node.getBoundingClientRect();
                    return !node.checkVisibility() || box.width < 40 || box.height < 20; })
  .map(node => node.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    study = pd.DataFrame([CLAIM])
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_page(**page_inputs(), study=study, scaffolded=True), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def opened(browser, address):
    """opened(width, **options) -> the page, and what it asked for and complained of."""
    contexts = []

    def open_page(width: int, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page, heard = context.new_page(), []
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: heard.append(request.url) if request.url != address else None)
        page.goto(address)
        return page, [text for text in heard if not text.startswith("data:")]

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_every_table_and_figure_is_to_be_seen_and_nothing_is_loaded(opened, width) -> None:
    page, heard = opened(width)
    assert heard == []
    assert page.evaluate(HIDDEN) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.locator("summary").last.click()
    assert page.evaluate("document.querySelectorAll('details[open]').length") >= 2
    assert heard == []


def test_contrast_is_enough_for_all_text(opened) -> None:
    page, _ = opened(1440)
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert page.evaluate(LOW_CONTRAST) == []


def test_a_head_tells_of_itself_to_the_mouse(opened) -> None:
    page, heard = opened(1440)
    head = page.locator("#heads .head").first
    head.scroll_into_view_if_needed()
    head.hover()
    text = page.locator("#tip").inner_text()
    assert text.startswith("Layer 0, head 0: score -0.") and text.endswith(", in the circuit")
    pair = page.locator("#mapping .head").first
    pair.hover()
    assert "teacher layer 2, head 1 (impact +0.300, Value fetcher)" in page.locator("#tip").inner_text()
    page.mouse.move(1, 1)
    assert not page.locator("#tip").is_visible() and heard == []


def test_a_picture_can_be_walked_with_the_keyboard(opened) -> None:
    page, heard = opened(390)
    picture = page.locator("#heads .heads").first
    picture.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    assert page.locator("#tip").inner_text().startswith("Layer 1, head 1: score")
    page.keyboard.press("Escape")
    assert not page.locator("#tip").is_visible() and heard == []


def test_keys_reach_the_answer_first_and_every_table(opened) -> None:
    page, _ = opened(390)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#answer"
    regions = page.locator(".scroll")
    assert regions.count() == page.locator('.scroll[tabindex="0"][role="region"][aria-label]').count()
    unnamed = "[...document.querySelectorAll('svg')].filter(s => !s.getAttribute('aria-label')).length"
    assert page.evaluate(unnamed) == 0


def test_without_scripts_and_on_paper_the_page_says_the_same(opened) -> None:
    page, heard = opened(1440, java_script_enabled=False)
    assert page.locator("#table-1 td").count() > 20 and page.locator("#table-1 table").is_visible()
    page.emulate_media(media="print")
    assert not page.locator("nav").first.is_visible()
    assert page.locator("#significance table").is_visible() and heard == []
