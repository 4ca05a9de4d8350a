from __future__ import annotations

import numpy as np
import pytest
import torch

from circuit_distillation.models.mini import build_model, build_tokenizer
from circuit_distillation.tasks import get_task
from circuit_distillation.tasks.theory_of_mind import TheoryOfMind
from circuit_distillation.tasks.visibility import TEMPLATES
from circuit_distillation.training.belief_layout import CELLS, word_ids
from circuit_distillation.training.packed_beliefs import SCAFFOLD, BeliefPacker, Stories, belief_sampler
from circuit_distillation.training.packing import target_results

SHARES = {name: 1.0 for name in TEMPLATES}


@pytest.fixture(scope="module")
def task():
    return get_task("tom", templates="all", instruction="none")


@pytest.fixture(scope="module")
def tokenizer(task):
    return build_tokenizer(task.vocabulary())


def stories_of(examples, tokenizer) -> Stories:
    """The stories of generated examples (four in a row share one), read off their spans."""
    firsts = examples[::4]

    def ids(story, roles):
        return word_ids(tokenizer, [story.text(role) for role in roles])

    names = []
    for story in firsts:
        owners = [story.text("name_1"), story.text("name_2")]
        mentioned = [story.text(role) for role in story.spans if role.startswith("observe")]
        distinct = list(dict.fromkeys([*owners, *mentioned]))
        names.append(word_ids(tokenizer, [*distinct, *owners][:4]))  # without decoys two are never used
    return Stories(
        np.array([story.template for story in firsts]),
        np.stack(names),
        np.stack([ids(story, ("container_1", "container_2")) for story in firsts]),
        np.stack([ids(story, ("drink_1", "drink_2")) for story in firsts]),
    )


@pytest.fixture(scope="module", params=["none", "full"])
def packed(request, tokenizer):
    task = TheoryOfMind("all", instruction=request.param)
    tokenizer = build_tokenizer(task.vocabulary()) if request.param == "full" else tokenizer
    examples = task.generate(2 * len(TEMPLATES), seed=3)
    batch = BeliefPacker(task, tokenizer, SHARES, SCAFFOLD).pack(stories_of(examples, tokenizer))
    return tokenizer, examples, batch


def test_every_packed_question_is_the_tasks_prompt(packed):
    tokenizer, examples, batch = packed
    for i, example in enumerate(examples):
        row, question = divmod(i, 4)
        keep = (batch.block[row] == 0) | (batch.block[row] == question + 1)
        assert batch.input_ids[row][keep].tolist() == tokenizer(example.prompt)["input_ids"]
        assert batch.position_ids[row][keep].tolist() == list(range(int(keep.sum())))


def test_answers_and_cells_are_the_tasks(packed):
    tokenizer, examples, batch = packed
    labelled = {}
    for target in batch.targets:
        if target.name in CELLS:
            for row, column, label in zip(target.rows, target.cols, target.labels, strict=True):
                assert batch.block[row][column + 1 :][:1].tolist() != [
                    int(batch.block[row, column])
                ]  # last of its block
                labelled[int(row), int(batch.block[row, column]) - 1] = (target.name, int(label))
    assert len(labelled) == len(examples)
    for i, example in enumerate(examples):
        assert labelled[divmod(i, 4)] == (example.cell, int(word_ids(tokenizer, [example.answer])[0]))


def test_scaffold_labels_agree_with_the_spans(packed):
    tokenizer, examples, batch = packed
    targets = {target.name: target for target in batch.targets}

    def label_of(name):
        """Token label of a target by (row, block, word the label stands at)."""
        target = targets[name]
        at = (target.rows, target.cols)
        here = tokenizer.convert_ids_to_tokens(batch.input_ids[at].tolist())
        words = tokenizer.convert_ids_to_tokens(target.labels.tolist())
        keys = zip(target.rows.tolist(), batch.block[at].tolist(), here, strict=True)
        return dict(zip(keys, words, strict=True))

    labels = {name: label_of(name) for name in SCAFFOLD}
    sentence = {1: "Story", 2: "Then"}
    for i, example in enumerate(examples):
        row, k = i // 4, i % 4 + 1
        who, which = [1, 1, 2, 2][i % 4], [1, 2, 1, 2][i % 4]
        name, container = example.text("query_name"), example.text("query_container")
        assert (
            labels["name_sentence"][row, k, name]
            == labels["last_name_sentence"][row, k, ":"]
            == sentence[who]
        )
        assert labels["container_sentence"][row, k, container] == sentence[which]
        assert labels["last_container_sentence"][row, k, ":"] == sentence[which]
        assert labels["container_drink"][row, k, container] == example.text(f"drink_{which}")
        assert labels["own_action"][row, k, ":"] == ("fills" if who == which else "observe")
        assert labels["drink_container"][row, 0, example.text(f"drink_{which}")] == container
        assert labels["sentence"][row, 0, name] == sentence[who]
        assert labels["sentence"][row, 0, container] == sentence[which]
        seen = f"{name} {{}} observe {example.text(f'name_{3 - who}')}'s"
        stated = [verb for verb in ("can", "cannot") if seen.format(verb) in example.prompt]
        for target, at in (("name_sight", (row, k, name)), ("last_sight", (row, k, ":"))):
            assert [labels[target][at]] == stated if stated else at not in labels[target]
        for j in (1, 2) if "can_1" in example.spans else ():
            observer, verb = example.text(f"observer_{j}"), example.text(f"can_{j}")
            both = len({example.text("can_1"), example.text("can_2")}) == 1  # then the key is not unique
            assert both or labels["observer"][row, 0, verb] == observer


def test_answer_loss_is_the_mean_over_cells_of_single_prompts(task, tokenizer):
    """Naive twin: one forward a prompt in float64, cross-entropy averaged within each cell, then over the
    cells.
    """
    examples = TheoryOfMind(
        ["neither_sees", "neither_sees", "first_sees_second"], instruction="none"
    ).generate(3, seed=1)
    model = build_model("small", tokenizer, 0).double().eval()
    batch = BeliefPacker(task, tokenizer, SHARES, ()).pack(stories_of(examples, tokenizer))
    by_cell: dict[str, list[float]] = {cell: [] for cell in CELLS}
    with torch.no_grad():
        packed_loss = sum(float(result.loss) for result in target_results(model, batch))
        for example in examples:
            logits = model(torch.tensor([tokenizer(example.prompt)["input_ids"]])).logits[0, -1]
            by_cell[example.cell].append(
                -float(logits.log_softmax(0)[word_ids(tokenizer, [example.answer])[0]])
            )
    assert [len(by_cell[cell]) for cell in CELLS] == [6, 1, 5]
    assert packed_loss == pytest.approx(np.mean([np.mean(losses) for losses in by_cell.values()]), abs=1e-9)


def test_same_seed_gives_the_same_batch_and_shares_are_kept(task, tokenizer):
    sample = belief_sampler(
        BeliefPacker(task, tokenizer, {"both_see": 3.0, "no_visibility": 1.0}, SCAFFOLD), 400
    )
    first, again, other = (sample(np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first.input_ids, again.input_ids) and not torch.equal(first.input_ids, other.input_ids)
    lengths = (first.block >= 0).sum(1)
    assert (lengths == lengths.max()).float().mean() == pytest.approx(0.75, abs=0.07)


def test_words_do_not_repeat_within_a_story(task, tokenizer):
    stories = BeliefPacker(task, tokenizer, SHARES).draw(np.random.default_rng(0), 200)
    for words, k in ((stories.name, 4), (stories.container, 2), (stories.drink, 2)):
        assert all(len(set(row)) == k for row in words.tolist())


def test_bad_input_is_named(task, tokenizer):
    with pytest.raises(ValueError, match="positive share"):
        BeliefPacker(task, tokenizer, {"both_see": 0.0}, None)
    with pytest.raises(ValueError, match="not one token"):
        word_ids(tokenizer, ["zzz"])
