"""Circuits found from prompts, against searches with one or two hooked forwards a head."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch
from naive.attribution import naive_ablation_attributions, naive_path_attributions
from naive.path_patching import naive_scores
from naive.prompts import circuit_logits, layout_means, prompt_ids, shuffled, tiny_checkpoint, word_ids
from torch import Tensor

from circuit_distillation.circuits import discovery, path_patching
from circuit_distillation.circuits.minimality import prune
from circuit_distillation.circuits.search import find_circuit
from circuit_distillation.circuits.settings import MeanAblation, PathPatching
from circuit_distillation.models.encoding import encode
from circuit_distillation.tasks import get_task

N_EXAMPLES = 10
PATCHING = {
    "method": "path_patching",
    "n_examples": N_EXAMPLES,
    "score": "log_prob",
    "kv_scope": "per_query_head",
    "stages": [
        {"name": "value_fetcher", "sender": "last", "n_heads": 3, "min_drop": 0.0, "z": 0.0},
        {
            "name": "position_transmitter",
            "sender": "last",
            "receivers": ["value_fetcher"],
            "receiver_input": "q",
            "n_heads": 2,
            "min_drop": 0.0,
            "z": 0.0,
        },
        {
            "name": "structure_reader",
            "sender": "previous_label",
            "receivers": ["value_fetcher"],
            "receiver_input": "v",
            "n_heads": 3,
            "min_drop": 0.0,
            "z": 0.0,
        },
    ],
    "minimality": {"threshold": 0.01},
}
ABLATION = {"method": "mean_ablation", "n_examples": 12, "fraction": 0.3}
SEARCH, RANKING = PathPatching(**PATCHING), MeanAblation(**ABLATION)
FIELDS = {"method", "n_examples", "heads", "stages", "n_heads_total", "fraction", "parameters", "cost"}


def said(checkpoint, examples, means) -> list:
    """The examples, with what one half of the model's heads says as the answer: some circuits are right."""
    mask = torch.tensor([[True, True, False, True], [False, True, True, True]])
    theirs, answers = layout_means(checkpoint, means), []
    for example in examples:
        logits = circuit_logits(checkpoint, example, theirs, mask)
        answers.append(checkpoint.tokenizer.decode([int(logits.argmax())]).strip() or "\n")
    return [replace(example, answer=word) for example, word in zip(examples, answers, strict=True)]


@pytest.fixture(scope="module")
def patched():
    """(checkpoint, examples, corrupted, means, scores, circuit, scores by prompt) on entity tracking."""
    task = get_task("entity", n_boxes=2)
    checkpoint, means = tiny_checkpoint(task, seed=2), task.generate(4, 1)  # heads in every stage
    questions = task.generate(7, 2)  # more than n_examples
    corrupted = task.corrupt(questions, 3)
    examples = said(checkpoint, questions, means)
    return (
        checkpoint,
        examples,
        corrupted,
        means,
        *find_circuit(checkpoint, examples, corrupted, means, SEARCH),
    )


def stage_scores(checkpoint, examples, corrupted, stage: dict, receivers: list | None) -> Tensor:
    """[layer, head, example] of one stage by hooks."""
    clean, there = (encode(checkpoint.tokenizer, x[:N_EXAMPLES]) for x in (examples, corrupted))
    return naive_scores(
        checkpoint.model,
        clean.input_ids,
        there.input_ids,
        clean.answer_ids,
        clean.positions[stage["sender"]],
        there.positions[stage["sender"]],
        clean.attention_mask.sum(1),
        receivers=receivers,
        which=stage.get("receiver_input"),
    )


def grid(scores: pd.DataFrame, stage: str, column: str) -> Tensor:
    """A column of the scores frame as [layer, head]."""
    rows = scores[scores["stage"] == stage].sort_values(["layer", "head"])
    assert list(zip(rows["layer"], rows["head"])) == [(i, j) for i in range(2) for j in range(4)]
    return torch.tensor(rows[column].to_numpy()).view(2, 4)


def searched(case) -> dict[str, tuple[Tensor, list]]:
    """By stage: scores [layer, head, example] and the heads kept before pruning."""
    checkpoint, examples, corrupted, *_ = case
    found: dict[str, tuple[Tensor, list]] = {}
    for stage in PATCHING["stages"]:
        receivers = sorted({head for name in stage.get("receivers", ()) for head in found[name][1]}) or None
        scores = stage_scores(checkpoint, examples, corrupted, stage, receivers)
        mean = scores.mean(-1)
        ranked = [divmod(i, 4) for i in mean.flatten().argsort().tolist() if mean.flatten()[i] < 0]
        found[stage["name"]] = (scores, ranked[: stage["n_heads"]])
    return found


def accuracy(case, groups: dict[str, list]) -> float:
    """F of a circuit: each stage's heads at the position of its role alone, one forward a prompt."""
    checkpoint, examples, _, means, *_ = case
    theirs, right = layout_means(checkpoint, means), 0
    encoded = encode(checkpoint.tokenizer, examples[:N_EXAMPLES])
    senders = {stage["name"]: stage["sender"] for stage in PATCHING["stages"]}
    for row, example in enumerate(examples[:N_EXAMPLES]):
        kept = torch.zeros(2, encoded.input_ids.shape[1], 4, dtype=torch.bool)
        for name, heads in groups.items():
            for layer, head in heads:
                kept[layer, encoded.positions[senders[name]][row], head] = True
        top = int(circuit_logits(checkpoint, example, theirs, kept).argmax())
        right += top == word_ids(checkpoint, [example.answer])[0]
    return right / N_EXAMPLES


def test_path_patching_equals_the_hooked_search_and_pruning(patched) -> None:
    *_, scores, circuit, by_prompt = patched
    found = searched(patched)
    for name, (expected, _) in found.items():
        torch.testing.assert_close(grid(scores, name, "score"), expected.mean(-1), rtol=0, atol=1e-9)
        stderr = expected.std(-1) / N_EXAMPLES**0.5
        torch.testing.assert_close(grid(scores, name, "stderr"), stderr, rtol=0, atol=1e-9)
        own = by_prompt[by_prompt["stage"] == name]
        torch.testing.assert_close(torch.tensor(own["score"].to_numpy()).view(expected.shape), expected)
        assert own["example_id"].tolist()[:N_EXAMPLES] == [one.example_id for one in patched[1][:N_EXAMPLES]]
        assert own["head"].tolist()[:: 4 * N_EXAMPLES] == [0, 0] and own["layer"].max() == 1
    groups = {name: heads for name, (_, heads) in found.items()}
    kept = prune(
        groups,
        lambda circuits: [accuracy(patched, circuit) for circuit in circuits],
        threshold=0.01,
        order=["structure_reader", "position_transmitter", "value_fetcher"],
    )
    assert circuit["stages"] == {name: [list(head) for head in heads] for name, heads in kept.items()}
    assert circuit["heads"] == [list(h) for h in sorted({h for heads in kept.values() for h in heads})]
    assert all(kept.values()) and sum(map(len, kept.values())) < sum(map(len, groups.values()))


def test_the_circuit_says_how_it_was_found(patched) -> None:
    *_, circuit, _ = patched
    assert set(circuit) == FIELDS and json.loads(json.dumps(circuit)) == circuit
    assert (circuit["method"], circuit["n_examples"], circuit["n_heads_total"]) == ("path_patching", 10, 8)
    assert circuit["fraction"] == len(circuit["heads"]) / 8
    assert PathPatching(**circuit["parameters"]) == SEARCH
    assert 0 < circuit["cost"]["forward_equivalents"] < circuit["cost"]["naive_forward_equivalents"]


def test_an_interrupted_search_goes_on_and_leaves_nothing(patched, tmp_path, monkeypatch, capsys) -> None:
    checkpoint, examples, corrupted, means, scores, circuit, _ = patched
    search, folder = (
        [checkpoint, examples, corrupted, means, SEARCH],
        tmp_path / "unfinished",
    )
    stages, score = [], discovery.score_heads

    def stopped_at_the_second(*args, **options) -> Tensor:
        stages.append(options["receivers"])
        if len(stages) == 2:
            raise KeyboardInterrupt
        return score(*args, **options)

    monkeypatch.setattr(discovery, "score_heads", stopped_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        find_circuit(*search, work_folder=folder)
    assert (folder / "value_fetcher.safetensors").exists()

    monkeypatch.setattr(path_patching._Chunk, "direct", None)  # the first stage needs no forward any more
    again, resumed, _ = find_circuit(*search, work_folder=folder, progress=True)
    pd.testing.assert_frame_equal(again, scores)
    assert {**resumed, "cost": None} == {**circuit, "cost": None}
    assert not folder.exists()
    shown = capsys.readouterr().err
    assert all(f"{label}: 100%" in shown for label in ("value_fetcher", "structure_reader", "pruning"))


def test_heads_that_all_fall_short_leave_an_empty_circuit(patched) -> None:
    checkpoint, examples, corrupted, means, *_ = patched
    hard = PATCHING | {"stages": [stage | {"min_drop": 1e9} for stage in PATCHING["stages"]]}
    scores, circuit, _ = find_circuit(checkpoint, examples, corrupted, means, PathPatching(**hard))
    assert circuit["heads"] == [] and circuit["fraction"] == 0.0
    assert scores["stage"].unique().tolist() == [stage["name"] for stage in PATCHING["stages"]]


def test_path_patching_of_two_layouts_at_once_is_refused() -> None:
    task = get_task("tom", instruction="none", templates=("no_visibility", "both_see"), corruption="binding")
    examples = task.generate(2, 0)
    corrupted, checkpoint = task.corrupt(examples, 1), tiny_checkpoint(task)
    stages = [{"name": "reader", "sender": "last", "n_heads": 2, "min_drop": 0.0, "z": 0.0}]
    settings = PathPatching(**PATCHING | {"stages": stages})
    with pytest.raises(ValueError, match="one layout"):
        find_circuit(checkpoint, examples, corrupted, examples, settings)


@pytest.fixture(scope="module")
def ablated():
    """(checkpoint, examples, means, scores, circuit, scores by prompt) on belief stories of two layouts."""
    task = get_task("tom", instruction="none", templates=("no_visibility", "both_see"))
    checkpoint, means = tiny_checkpoint(task), task.generate(4, 1)
    examples = shuffled(task.generate(4, 2))
    return (
        checkpoint,
        examples,
        means,
        *find_circuit(checkpoint, examples, [], means, RANKING),
    )


def changes(checkpoint, examples, means) -> Tensor:
    """[layer, head, example]: what ablating a head does to the answer's log-probability, by hooks."""
    theirs = layout_means(checkpoint, means)
    found = torch.zeros(2, 4, len(examples), dtype=torch.float64)
    for row, example in enumerate(examples):
        (answer,) = word_ids(checkpoint, [example.answer])
        every = torch.ones(2, 4, dtype=torch.bool)
        base = circuit_logits(checkpoint, example, theirs, every).log_softmax(-1)[answer]
        for layer, head in every.nonzero().tolist():
            mask = every.clone()
            mask[layer, head] = False
            logits = circuit_logits(checkpoint, example, theirs, mask)
            found[layer, head, row] = logits.log_softmax(-1)[answer] - base
    return found


def test_ablation_ranks_heads_by_the_size_of_their_effect(ablated) -> None:
    checkpoint, examples, means, scores, circuit, _ = ablated
    change = changes(checkpoint, examples[: ABLATION["n_examples"]], means)
    assert (change > 0).any() and (change < 0).any()
    score, stderr = -change.abs().mean(-1), change.abs().std(-1) / 12**0.5
    torch.testing.assert_close(grid(scores, "mean_ablation", "score"), score, rtol=0, atol=1e-9)
    torch.testing.assert_close(grid(scores, "mean_ablation", "stderr"), stderr, rtol=0, atol=1e-9)
    ranked = [divmod(i, 4) for i in score.flatten().argsort().tolist()][:3]  # ceil(0.3 x 8 heads)
    assert circuit["heads"] == [list(head) for head in sorted(ranked)]
    assert circuit["stages"] == {"mean_ablation": [list(head) for head in ranked]}


def test_an_ablation_circuit_says_how_it_was_found(ablated) -> None:
    *_, circuit, _ = ablated
    assert set(circuit) == FIELDS and json.loads(json.dumps(circuit)) == circuit
    assert circuit["parameters"] == ABLATION | {"stages": []}
    assert circuit["fraction"] == 3 / 8 and circuit["n_examples"] == 12
    assert circuit["cost"]["naive_forward_equivalents"] == 12 * 9
    assert 0 < circuit["cost"]["forward_equivalents"] < 12 * 9


@pytest.mark.parametrize(("method", "steps"), [("attribution", 1), ("attribution_ig", 5)])
def test_the_same_stages_scored_by_gradients(patched, method: str, steps: int) -> None:
    checkpoint, examples, corrupted, means, *_ = patched
    scores, circuit, _ = find_circuit(
        checkpoint, examples, corrupted, means, PathPatching(**PATCHING | {"method": method})
    )
    clean, there = (encode(checkpoint.tokenizer, x[:N_EXAMPLES]) for x in (examples, corrupted))
    assert (set(circuit), circuit["method"]) == (FIELDS, method)
    for stage in PATCHING["stages"][:2]:  # the second stage's receivers are those of this first stage
        receivers = None
        if "receivers" in stage:
            order = grid(scores, "value_fetcher", "score").flatten().argsort().tolist()
            receivers = [
                divmod(i, 4) for i in order if grid(scores, "value_fetcher", "score")[i // 4, i % 4] < 0
            ]
        expected = naive_path_attributions(
            checkpoint.model,
            clean.input_ids,
            there.input_ids,
            clean.answer_ids,
            clean.positions["last"],
            there.positions["last"],
            clean.attention_mask.sum(1),
            receivers=receivers and sorted(receivers[:3]),
            which=stage.get("receiver_input"),
            steps=steps,
        )
        found = grid(scores, stage["name"], "score")
        torch.testing.assert_close(found, expected.mean(-1), rtol=0, atol=1e-7)


@pytest.mark.parametrize("method", ["attribution", "attribution_ig"])
def test_ablations_scored_by_gradients(ablated, method: str) -> None:
    checkpoint, examples, means, _, exact, _ = ablated
    scores, circuit, _ = find_circuit(
        checkpoint, examples, [], means, MeanAblation(**ABLATION | {"method": method})
    )
    theirs, sizes = layout_means(checkpoint, means), []
    for example in examples[: ABLATION["n_examples"]]:
        ids = prompt_ids(checkpoint, example)
        answer = torch.tensor(word_ids(checkpoint, [example.answer]))
        given = (ids, answer, theirs[ids.shape[1]], torch.tensor([ids.shape[1]]))
        steps = 5 if method == "attribution_ig" else 1
        sizes.append(naive_ablation_attributions(checkpoint.model, *given, steps)[..., 0].abs())
    expected = -torch.stack(sizes).mean(0)
    torch.testing.assert_close(grid(scores, "mean_ablation", "score"), expected, rtol=0, atol=1e-7)
    assert circuit["method"] == method
    assert circuit["cost"]["naive_forward_equivalents"] == exact["cost"]["naive_forward_equivalents"]
