"""Belief labels, checked by an independent reading of the prompt text."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuit_distillation.tasks import get_task
from circuit_distillation.tasks.visibility import MIXES, TEMPLATES
from circuit_distillation.tasks.words import CONTAINERS, DRINKS, NAMES

FILLS = re.compile(r"([A-Z][a-z]+) grabs an opaque ([a-z]+) and fills it with ([a-z]+)\.")
SEES = re.compile(r"([A-Z][a-z]+) (can|cannot) observe ([A-Z][a-z]+)'s actions\.")
ASKS = re.compile(r"\nQuestion: What does ([A-Z][a-z]+) believe the ([a-z]+) contains\?\nAnswer:$")


def read(prompt):
    """(fillings, visibility sentences, queried name, queried container), from the text alone."""
    query = ASKS.search(prompt)
    assert query
    return FILLS.findall(prompt), SEES.findall(prompt), *query.groups()


def believed(prompt):
    """(cell, answer), decided on the text alone."""
    fillings, sightings, name, container = read(prompt)
    filler, drink = next((who, what) for who, where, what in fillings if where == container)
    if filler == name:
        return "own", drink
    return ("seen", drink) if (name, "can", filler) in sightings else ("unseen", "unknown")


@settings(max_examples=30, deadline=None)
@given(
    mix=st.sampled_from(sorted(MIXES)),
    instruction=st.sampled_from(["full", "none"]),
    seed=st.integers(0, 2**40),
)
def test_labels_agree_with_the_text(mix, instruction, seed):
    task = get_task("tom", templates=mix, instruction=instruction)
    clean = task.generate(len(MIXES[mix]), seed)
    for example in [*clean, *task.corrupt(clean, seed)]:
        assert (example.cell, example.answer) == believed(example.prompt)
        assert example.answer in example.candidates and example.candidates[2] == "unknown"


def test_every_story_asks_the_four_questions():
    examples = get_task("tom", templates="all").generate(39, 0)
    groups = {}
    for example in examples:
        groups.setdefault(example.group_id, []).append(read(example.prompt))
    assert len(groups) == 39 and len({example.example_id for example in examples}) == 156
    for questions in groups.values():
        (a, c, _), (b, d, _) = questions[0][0]
        assert {question[2:] for question in questions} == {(a, c), (a, d), (b, c), (b, d)}


def test_templates_say_what_their_names_say():
    stated = {}
    for example in get_task("tom", templates="all").generate(len(TEMPLATES), 1)[::4]:
        fillings, sightings, *_ = read(example.prompt)
        first, second = fillings[0][0], fillings[1][0]
        role = {first: "1", second: "2"}
        stated[example.template] = [f"{role.get(a, 'x')} {can} {role.get(b, 'x')}" for a, can, b in sightings]
    in_order = {
        "no_visibility": [],
        "neither_sees": ["2 cannot 1", "1 cannot 2"],
        "first_sees_second": ["2 cannot 1", "1 can 2"],
        "second_sees_first": ["2 can 1", "1 cannot 2"],
        "both_see": ["2 can 1", "1 can 2"],
        "decoy": ["2 cannot 1", "x can x"],
        "decoy_seen": ["1 can 2", "x cannot x"],
    }
    swapped = {f"{name}_swapped": sentences[::-1] for name, sentences in in_order.items() if sentences}
    assert stated == in_order | swapped


def test_decoys_are_two_further_people():
    for example in get_task("tom", templates="decoy").generate(40, 0):
        fillings, sightings, *_ = read(example.prompt)
        assert (
            len({name for a, _, b in sightings for name in (a, b)} | {filling[0] for filling in fillings})
            == 4
        )


def test_cells_and_trivial_answers_of_the_mixes():
    def cells(mix):
        return Counter(example.cell for example in get_task("tom", templates=mix).generate(8, 0))

    assert cells("explicit") == {"own": 16, "seen": 8, "unseen": 8}
    assert cells("plain") == {"own": 16, "seen": 4, "unseen": 12}
    assert cells("mirrored") == {"own": 16, "seen": 8, "unseen": 8}
    assert cells("no_visibility") == {"own": 16, "unseen": 16}
    examples = [example for example in get_task("tom").generate(200, 0) if example.answer == "unknown"]
    # one cell of three: "unknown" alone gives 1/3
    assert {example.cell for example in examples} == {"unseen"}


def test_position_gives_nothing_away_in_the_mirrored_mix():
    """Neither the queried slots nor the place of the word "can" tell seen from unseen."""
    counts = Counter()
    for example in get_task("tom", templates="mirrored").generate(400, 0):
        fillings, sightings, name, _ = read(example.prompt)
        if example.cell != "own":
            counts[name == fillings[0][0], sightings[0][1], example.cell] += 1
    assert len(counts) == 8 and len(set(counts.values())) == 1


def test_spans_cut_out_the_roles():
    for example in get_task("tom", templates="all").generate(39, 2):
        fillings, sightings, name, container = read(example.prompt)
        for k, (who, where, what) in enumerate(fillings, start=1):
            assert [example.text(f"{role}_{k}") for role in ("name", "container", "drink")] == [
                who,
                where,
                what,
            ]
            assert (
                example.spans[f"name_{k}"][0]
                < example.spans[f"drink_{k}"][0]
                < example.prompt.index("Question")
            )
        for k, sighting in enumerate(sightings, start=1):
            assert tuple(example.text(f"{role}_{k}") for role in ("observer", "can", "observed")) == sighting
        assert (example.text("query_name"), example.text("query_container")) == (name, container)
        assert example.spans["query_name"][0] > example.prompt.index("Question")
        assert example.text("last") == "Answer:" and example.spans["last"][1] == len(example.prompt)


def test_by_cell_changes_one_word_where_one_word_decides():
    task = get_task("tom", templates="explicit")
    clean = task.generate(16, 3)
    for before, after in zip(clean, task.corrupt(clean, 0), strict=True):
        a, b = before.prompt.split(), after.prompt.split()
        changed = [pair for pair in zip(a, b, strict=True) if pair[0] != pair[1]]
        if before.cell == "own":
            assert not set(before.candidates[:2]) & set(after.candidates[:2])
        else:
            assert changed in ([("can", "cannot")], [("cannot", "can")])


@pytest.mark.parametrize("corruption", ["by_cell", "binding"])
def test_the_corrupted_answer_always_differs(corruption):
    task = get_task("tom", templates="all", corruption=corruption)
    clean = task.generate(39, 4)
    for before, after in zip(clean, task.corrupt(clean, 0), strict=True):
        assert believed(after.prompt)[1] != before.answer
        assert after.template == before.template and set(after.spans) == set(before.spans)


def test_binding_draws_other_people_containers_and_drinks():
    task = get_task("tom", templates="all", corruption="binding")
    clean = task.generate(13, 0)
    for before, after in zip(clean, task.corrupt(clean, 0), strict=True):
        (old, sees, *_), (new, saw, *_) = read(before.prompt), read(after.prompt)
        assert not {word for filling in old for word in filling} & {
            word for filling in new for word in filling
        }
        assert [can for _, can, _ in sees] == [can for _, can, _ in saw]


def test_visibility_exchanges_every_can_and_nothing_else():
    task = get_task("tom", templates="explicit", corruption="visibility")
    clean = task.generate(16, 0)
    for before, after in zip(clean, task.corrupt(clean, 0), strict=True):
        exchanged = re.sub(
            r"\bcan(not)? observe", lambda m: "can observe" if m[1] else "cannot observe", before.prompt
        )
        story = before.prompt.index("Story:")
        assert after.prompt[story:] == exchanged[story:] and after.prompt[:story] == before.prompt[:story]
        assert (before.answer == after.answer) == (before.cell == "own")
    with pytest.raises(ValueError, match="states no visibility"):
        task.corrupt(get_task("tom", templates="no_visibility").generate(1, 0), 0)


def test_generation_depends_on_the_seed_alone():
    task = get_task("tom")
    assert task.generate(5, 3) == get_task("tom").generate(5, 3) == task.generate(9, 3)[:20]
    assert task.generate(5, 3) != task.generate(5, 4)
    clean = task.generate(5, 3)
    assert task.corrupt(clean, 1) == task.corrupt(clean[::-1], 1)[::-1]


def test_no_story_twice_and_none_that_is_taken():
    few = (*NAMES[8:], *CONTAINERS[4:], *DRINKS[4:])
    task = get_task("tom", exclude_words=few)
    first = task.generate(1500, 0)
    contents = {task.content(example) for example in first}
    assert len(contents) == 1500
    assert not contents & {task.content(example) for example in task.generate(500, 0, taken=contents)}
    with pytest.raises(ValueError, match="Nothing is left beside the 4032"):
        task.generate(5000, 0)


def test_content_is_what_was_filled_and_not_who_saw_it():
    task = get_task("tom", templates="explicit", corruption="visibility")
    clean = task.generate(8, 0)
    for before, after in zip(clean, task.corrupt(clean, 0), strict=True):
        fillings, *_ = read(before.prompt)
        assert task.content(before) == task.content(after) == tuple(sorted(" ".join(f) for f in fillings))


def test_instruction_text_names_the_way_out():
    full, none = (get_task("tom", instruction=kind).generate(3, 0) for kind in ("full", "none"))
    for long, short in zip(full, none, strict=True):
        assert long.prompt.endswith(short.prompt) and short.prompt.startswith("Story:")
        assert "unknown" in long.prompt[: -len(short.prompt)]
        assert long.answer == short.answer


def test_vocabulary_covers_every_sign():
    for instruction in ("full", "none"):
        task = get_task("tom", instruction=instruction, templates="all")
        known = set(task.vocabulary())
        for example in task.generate(300, 0):
            assert set(re.findall(r"\n|\d|[^\W\d]+|[^\w\s]", f"{example.prompt} {example.answer}")) <= known


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"templates": "explicitt"}, "no mix of templates"),
        ({"templates": ["neither_see"]}, "no list of some of"),
        ({"templates": []}, "no list of some of"),
        ({"instruction": "short"}, "full, none"),
        ({"corruption": "noise"}, "by_cell, visibility, binding"),
        ({"exclude_words": NAMES[5:]}, "exclude fewer"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        get_task("tom", **options)
