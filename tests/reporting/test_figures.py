from __future__ import annotations

from synthetic import LABELS, run_inputs

from circuit_distillation.reporting.figures import run_figures

RUN = dict(task="entity", seed=3, experiment="as_printed", labels=LABELS)


def test_a_run_gives_every_figure_it_has_data_for() -> None:
    files = run_figures(**RUN, **run_inputs())
    assert all(name.startswith("entity_seed3_as_printed_") for name in files)
    assert [name.removeprefix("entity_seed3_as_printed_").removesuffix(".svg") for name in files] == [
        "ce_loss_small",
        "heads_small.base_value_fetcher",
        "heads_small.base_structure_reader",
        "heads_large.tuned_value_fetcher",
        "heads_large.tuned_structure_reader",
        "heads_large.tuned_stability",
        "mapping_small",
        "similarity_small.circuit_ce_align_cka",
    ]


def test_figures_say_what_they_show() -> None:
    files = {
        name.split("as_printed_")[1]: text.decode()
        for name, text in run_figures(**RUN, **run_inputs()).items()
    }
    loss = files["ce_loss_small.svg"]
    assert "Cross-entropy while training Base-Tiny-S (entity tracking, seed 3)" in loss
    assert 'data-section="ce_loss" data-task="entity" data-seed="3" data-experiment="as_printed"' in loss
    assert "outlined are the heads of the circuit: L2.H1." in files["heads_large.tuned_value_fetcher.svg"]
    assert "circuit: L0.H0." in files["heads_small.base_value_fetcher.svg"]
    stability = files["heads_large.tuned_stability.svg"]
    assert "In 5 to 95 % of redraws: L0.H3 40%." in stability
    assert "Layer 2, head 1: in 100% of redraws, 0% of limits, 50% of templates; Value fetcher" in stability
    assert "3 pairs onto 1 teacher heads (rule nearest): L1.H0 with L2.H1" in files["mapping_small.svg"]
    assert (
        "from 0.500 at the first step to 0.850 at the last"
        in files["similarity_small.circuit_ce_align_cka.svg"]
    )


def test_nothing_stored_gives_no_figures() -> None:
    assert run_figures(**RUN, histories={}, scores={}, circuits={}, mappings={}, stabilities={}) == {}


def test_the_same_inputs_give_the_same_bytes() -> None:
    assert run_figures(**RUN, **run_inputs()) == run_figures(**RUN, **run_inputs())
