from __future__ import annotations

from pathlib import Path

import pytest
import torch
from naive.path_patching import naive_scores
from naive.tiny_models import tiny_model, tiny_prompts

from circuit_distillation.circuits.discovery import discover, select_heads
from circuit_distillation.circuits.path_patching import new_record
from circuit_distillation.circuits.progress import fingerprint, remove_records
from circuit_distillation.circuits.receiver_suffix import ReceiverSuffix
from circuit_distillation.circuits.settings import Stage

N, T = 5, 9
ANSWERS = torch.tensor([3, 17, 39, 0, 8])
LABEL = torch.tensor([4, 2, 4, 3, 2])


def stage(name: str, sender: str, receivers: tuple = (), which: str | None = None, **limits) -> Stage:
    """A stage; without limits it keeps every head that matters."""
    limits = {"n_heads": 99, "min_drop": 0.0, "z": 0.0} | limits
    return Stage(name=name, sender=sender, receivers=receivers, receiver_input=which, **limits)


STAGES = [
    stage("value_fetcher", "last", n_heads=3),
    stage("position_transmitter", "last", ("value_fetcher",), "q", n_heads=3),
    stage("position_detector", "query_label", ("position_transmitter",), "v", n_heads=3),
    stage("structure_reader", "previous_label", ("position_detector", "value_fetcher"), "v"),
]
POSITIONS = {"last": -1, "query_label": -3, "previous_label": LABEL}


def test_four_stages_equal_the_hooked_search() -> None:
    model, clean, corrupt = tiny_model(n_layers=4), tiny_prompts(N, T, 1), tiny_prompts(N, T, 2)
    there = POSITIONS | {"previous_label": torch.tensor([1, 5, 2, 2, 6])}
    found = discover(
        model, clean, corrupt, ANSWERS, STAGES, POSITIONS, corrupt_positions=there, score="log_prob"
    )
    lengths, receivers = torch.full((N,), T), {}
    for asked in STAGES:
        heads = sorted({head for name in asked.receivers for head in receivers[name]}) or None
        position = torch.as_tensor(POSITIONS[asked.sender]).expand(N) % T
        corrupted = torch.as_tensor(there[asked.sender]).expand(N) % T
        expected = naive_scores(
            model,
            clean,
            corrupt,
            ANSWERS,
            position,
            corrupted,
            lengths,
            receivers=heads,
            which=asked.receiver_input,
        )
        result = found.stages[asked.name]
        torch.testing.assert_close(result.effects, expected, rtol=0, atol=1e-9)
        torch.testing.assert_close(result.score, expected.mean(-1), rtol=0, atol=1e-9)
        mean = expected.mean(-1).flatten()
        ranked = [divmod(i, 4) for i in mean.argsort().tolist() if mean[i] < -1e-12]
        assert result.heads == ranked[: asked.n_heads]
        receivers[asked.name] = result.heads
    assert found.heads == sorted({head for result in found.stages.values() for head in result.heads})


def test_the_cost_is_far_below_one_forward_a_head() -> None:
    model = tiny_model(n_layers=4)
    found = discover(model, tiny_prompts(N, T, 1), tiny_prompts(N, T, 2), ANSWERS, STAGES[:2], POSITIONS)
    assert found.cost.naive_forward_equivalents == pytest.approx(N * (2 + 16 + 32))
    assert 2 * N * 0.7 < found.cost.forward_equivalents < found.cost.naive_forward_equivalents / 3
    assert found.cost.seconds > 0


def test_thresholds_and_standard_errors() -> None:
    effects = torch.tensor([[[-0.4, -0.2], [-0.1, -0.1], [-0.9, 0.5], [0.0, 0.0]]])
    result = select_heads(effects, 9)
    assert result.heads == [(0, 0), (0, 2), (0, 1)]
    assert result.stderr[0, 0] == pytest.approx(0.1)
    assert select_heads(effects, 9, min_drop=0.15).heads == [(0, 0), (0, 2)]
    assert select_heads(effects, 9, z=2.0).heads == [(0, 0), (0, 1)]
    assert select_heads(effects, 1).heads == [(0, 0)]


def test_a_stage_without_receivers_to_read_scores_zero() -> None:
    stages = [stage("a", "last", min_drop=1e9), stage("b", "last", ("a",), "q")]
    found = discover(tiny_model(), tiny_prompts(N, T, 1), tiny_prompts(N, T, 2), ANSWERS, stages, POSITIONS)
    assert found.heads == [] and (found.stages["b"].effects == 0).all()


def test_an_interrupted_search_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, clean, corrupt = tiny_model(n_layers=4), tiny_prompts(N, T, 1), tiny_prompts(N, T, 2)
    folder = tmp_path / "search"
    there = POSITIONS | {"previous_label": 1}
    options = {"corrupt_positions": there, "checkpoint": folder, "memory_budget_mb": 0.05}
    search = [model, clean, corrupt, ANSWERS, STAGES, POSITIONS]
    expected = discover(*search, **options)
    remove_records(folder)

    run, n_runs = ReceiverSuffix.log_probs, []

    def counted(*args: object) -> torch.Tensor:
        n_runs.append(1)
        if len(n_runs) == stop:
            raise KeyboardInterrupt
        return run(*args)

    monkeypatch.setattr(ReceiverSuffix, "log_probs", counted)
    stop = 0
    discover(*search, **options)
    remove_records(folder)
    whole = len(n_runs)
    n_runs.clear()
    stop = whole * 2 // 3
    with pytest.raises(KeyboardInterrupt):
        discover(*search, **options)
    assert (folder / "value_fetcher.safetensors").exists()
    (folder / ".value_fetcher.safetensors.1234").touch()  # as a kill in the middle of saving leaves one
    n_runs.clear()
    stop = 0
    found = discover(*search, **options)
    assert len(n_runs) < whole / 2
    for name, result in expected.stages.items():
        torch.testing.assert_close(found.stages[name].effects, result.effects, rtol=0, atol=1e-12)
    remove_records(folder)
    assert not folder.exists()


def test_a_checkpoint_of_another_search_is_not_used(tmp_path: Path) -> None:
    model, clean, corrupt = tiny_model(), tiny_prompts(N, T, 1), tiny_prompts(N, T, 2)
    search = [clean, corrupt, ANSWERS, STAGES[:1], POSITIONS]
    stale = new_record(model, N, path=tmp_path / "value_fetcher.safetensors", key="another")
    with stale:
        stale.set(slice(None), torch.arange(N), 7.0)
    found = discover(model, *search, checkpoint=tmp_path)
    assert found.stages["value_fetcher"].effects.max() < 7.0
    assert fingerprint(model, clean) != fingerprint(tiny_model(seed=1), clean)
    assert fingerprint(model, clean) != fingerprint(model, corrupt)


def test_progress_counts_every_head(capsys: pytest.CaptureFixture) -> None:
    search = [tiny_prompts(N, T, 1), tiny_prompts(N, T, 2), ANSWERS, STAGES[:2], POSITIONS]
    discover(tiny_model(), *search, progress=True)
    shown = capsys.readouterr().err
    assert "value_fetcher: 100%" in shown and "position_transmitter: 100%" in shown and "12/12" in shown


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([stage("a", "box_9")], "unknown position 'box_9'"),
        ([stage("a", "last"), stage("a", "last")], "twice"),
        ([stage("a", "last", ("b",), "q")], "no stage before it"),
        ([stage("a", "last"), stage("b", "last", ("a",))], "needs both"),
    ],
)
def test_stages_that_do_not_fit_are_refused(stages: list[Stage], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        discover(tiny_model(), tiny_prompts(N, T, 1), tiny_prompts(N, T, 2), ANSWERS, stages, POSITIONS)
