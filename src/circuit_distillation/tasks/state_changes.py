"""Scenes whose state changes (Kim & Schuster, 2023), for evaluation: what is in a box after the operations?

Their original form: numbered boxes of several objects, an empty box "contains nothing", then objects are
moved, removed and put. The distilled task has no operations, so this shows how well a model generalises to
them.
"""

from __future__ import annotations

from random import Random

from .held_out import Choice
from .words import OBJECTS

N_BOXES = 7
MOST = 3  # objects in a box
PER_BOX = (0, 1, 1, 2)  # objects in a box at the beginning, each as likely
Boxes = list[list[str]]


def state_change_scenes(n_scenes: int, max_operations: int, seed: int) -> list[Choice]:
    """`n_scenes` scenes of 0 to `max_operations` operations, a question a box.

    The options are what the boxes hold in the end, and what the box that is asked for held at the beginning.
    The condition counts the operations that touched that box: without any, looking up its first mention is
    enough. A group is a scene.
    """
    items = []
    for number in range(n_scenes):
        rng = Random(f"state changes {seed} {number}")
        items += _questions(number, rng, rng.randint(0, max_operations))
    return items


def _questions(number: int, rng: Random, n_operations: int) -> list[Choice]:
    objects = rng.sample(OBJECTS, len(OBJECTS))
    boxes = [[objects.pop() for _ in range(rng.choice(PER_BOX))] for _ in range(N_BOXES)]
    start = [_contents(box) for box in boxes]
    text = ", ".join(f"Box {box} contains {held}" for box, held in enumerate(start)) + "."
    touched = [0] * N_BOXES
    for _ in range(n_operations):
        sentence, where = _operate(boxes, objects, rng)
        text += f" {sentence}"
        for box in where:
            touched[box] += 1
    end = [_contents(box) for box in boxes]
    items = []
    for box in range(N_BOXES):
        options = list(dict.fromkeys([*end, start[box]]))
        rng.shuffle(options)
        items.append(
            Choice(
                f"scene-{number}-{box}",
                f"scene-{number}",
                f"{touched[box]} operations on the box",
                f"{text} Box {box} contains",
                tuple(f"{option}." for option in options),
                options.index(end[box]),
            )
        )
    return items


def _operate(boxes: Boxes, objects: list[str], rng: Random) -> tuple[str, tuple[int, ...]]:
    """One operation that is possible, done: its sentence, and the boxes it touched."""
    while True:
        kind, source, target = rng.choice(("move", "remove", "put")), *rng.sample(range(N_BOXES), 2)
        if kind != "put" and not boxes[source] or kind != "remove" and len(boxes[target]) == MOST:
            continue
        if kind == "put":
            boxes[target].append(objects.pop())
            return f"Put the {boxes[target][-1]} into Box {target}.", (target,)
        thing = boxes[source].pop(rng.randrange(len(boxes[source])))
        if kind == "remove":
            return f"Remove the {thing} from Box {source}.", (source,)
        boxes[target].append(thing)
        return f"Move the {thing} from Box {source} to Box {target}.", (source, target)


def _contents(box: list[str]) -> str:
    return " and ".join(f"the {thing}" for thing in box) if box else "nothing"
