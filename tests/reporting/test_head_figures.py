from __future__ import annotations

import pytest
from synthetic import run_inputs, scores

from circuit_distillation.reporting.head_figures import (
    circuit_roles,
    grid,
    mapping_figure,
    score_figure,
    stage_name,
)
from circuit_distillation.reporting.svg import TIP


def tips(figure) -> list[str]:
    artists = [*figure.axes[0].patches, *figure.axes[0].lines]
    return [
        artist.get_gid().removeprefix(TIP) for artist in artists if (artist.get_gid() or "").startswith(TIP)
    ]


def test_every_head_has_a_cell_with_its_figures() -> None:
    frame = scores(2, 3, ("value_fetcher",))
    frame.loc[4, ["score", "stderr"]] = [-0.5, 0.025]
    frame.loc[5, "stderr"] = None
    shown = tips(score_figure(frame, {(1, 1): "Value fetcher"}))
    assert len(shown) == 6
    assert shown[4] == "Layer 1, head 1: score -0.500 ± 0.025, Value fetcher"
    assert "±" not in shown[5] and shown[5].endswith("not in the circuit")


def test_circuit_heads_are_outlined_and_zero_scores_can_be_drawn() -> None:
    frame = scores(2, 3, ("value_fetcher",))
    plain = len(score_figure(frame, {}).axes[0].patches)
    assert len(score_figure(frame, {(0, 0): "x", (1, 2): "y"}).axes[0].patches) == plain + 2
    assert len(tips(score_figure(frame.assign(score=0.0).drop(columns="stderr"), {}))) == 6


def test_a_line_a_pair_and_a_label_a_head() -> None:
    inputs = run_inputs()
    roles = circuit_roles(inputs["circuits"]["large.tuned"])
    figure = mapping_figure(inputs["mappings"]["small"], (2, 4), (3, 4), ("Base-S", "GOAT-L"), roles)
    axes = figure.axes[0]
    assert [line.get_linestyle() for line in axes.lines].count("-") == 3
    assert [line.get_linestyle() for line in axes.lines].count(":") == 1
    assert sorted(text.get_text() for text in axes.texts) == [
        "Base-S", "GOAT-L", "H0", "H1", "H1", "H2", "L0", "L0", "L1", "L1", "L2",
    ]  # fmt: skip
    assert len(set(line.get_color() for line in axes.lines if line.get_linestyle() == "-")) == 1
    tip = "Student layer 1, head 0 (impact +0.200) and teacher layer 2, head 1 (impact +0.300, Value fetcher)"
    assert tips(figure)[0] == tip


def test_roles_of_heads_in_words() -> None:
    circuit = {
        "heads": [[0, 1], [2, 3], [1, 1]],
        "stages": {"value_fetcher": [[2, 3]], "position_detector": [[2, 3], [1, 1]]},
    }
    assert circuit_roles(circuit) == {
        (0, 1): "in the circuit",
        (2, 3): "Value fetcher, Position detector",
        (1, 1): "Position detector",
    }
    assert stage_name("structure_reader") == "Structure reader"


@pytest.mark.parametrize("shape", [(2, 4), (5, 1)])
def test_the_grid_is_read_from_the_scores(shape: tuple[int, int]) -> None:
    assert grid(scores(*shape, ("a",))) == shape
