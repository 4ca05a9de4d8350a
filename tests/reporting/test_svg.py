from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from circuit_distillation.reporting.curves import new_axes
from circuit_distillation.reporting.svg import PASSIVE, TIP, to_svg

WORDS = dict(name="one", title='Loss & "more"', description="It <falls>.", data={"section": "ce_loss"})


def drawn():
    figure, axes = new_axes()
    (line,) = axes.plot([0, 1], [1, 0], "o")
    line.set_gid(TIP + "Layer 1, head 2: score < 3 & more")
    (over,) = axes.plot([0, 1], [0, 1])
    over.set_gid(PASSIVE)
    axes.set_xlabel("Training step")
    return figure


def test_the_document_stands_alone_and_describes_itself() -> None:
    text = to_svg(drawn(), **WORDS)
    root = ElementTree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    assert root.attrib["role"] == "img" and root.attrib["data-section"] == "ce_loss"
    assert root.attrib["aria-label"] == 'Loss & "more"'
    assert root[0].text == 'Loss & "more"' and root[1].text == "It <falls>."
    assert "height" not in root.attrib and "viewBox" in root.attrib
    assert "Training step" in text  # text stays text
    outside = text.replace("http://www.w3.org/2000/svg", "").replace("http://www.w3.org/1999/xlink", "")
    assert "http" not in outside and "<script" not in text


def test_marked_artists_can_be_hovered() -> None:
    text = to_svg(drawn(), **WORDS)
    assert text.count('<g class="head"><title>Layer 1, head 2: score &lt; 3 &amp; more</title>') == 1
    assert text.count("pointer-events: none") == 1


def test_same_figure_same_bytes_and_no_shared_ids() -> None:
    one, again, other = (
        to_svg(drawn(), **WORDS),
        to_svg(drawn(), **WORDS),
        to_svg(drawn(), **{**WORDS, "name": "two"}),
    )
    assert one == again

    def ids(text: str) -> set[str]:
        return {e.attrib["id"] for e in ElementTree.fromstring(text).iter() if "id" in e.attrib}

    assert ids(one) and not ids(one) & ids(other)
