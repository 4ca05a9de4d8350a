"""Score models on scenes whose state changes, and on BigToM, ToMi and Hi-ToM from files of the user's own."""

from __future__ import annotations

from typing import Any

from circuit_distillation.parameters import plain
from circuit_distillation.parameters.models import HeldOut
from circuit_distillation.tasks.held_out import read_held_out
from circuit_distillation.tasks.state_changes import state_change_scenes

FILES = ("bigtom", "tomi", "hitom")


def score_held_out(checkpoint, parameters: HeldOut, seed: int):
    """Every question of the scenes and of the files named: the option chosen, whether its group is right."""
    import pandas as pd

    from circuit_distillation.models.likelihood import choice_frame

    paths = {name: getattr(parameters, name) for name in FILES}
    sets = {name: read_held_out(path, seed) for name, path in paths.items() if path is not None}
    if parameters.scenes:
        sets["scenes"] = state_change_scenes(parameters.scenes, parameters.max_operations, seed)
    if not sets:
        names = ", ".join(f"held_out.{name}" for name in ("scenes", *FILES))
        raise ValueError(f"nothing to score: set one of {names}")
    frames = [choice_frame(checkpoint, items).assign(set=name) for name, items in sets.items()]
    return pd.concat(frames, ignore_index=True)


def tabulate_held_out(parameters: dict[str, Any], **stored):
    """Accuracy of every model by set and condition, by item and by whole group, beside guessing."""
    import pandas as pd

    from circuit_distillation.arms import row_name

    labels = {name: role["label"] for name, role in plain(parameters["family"])["roles"].items()}
    rows = []
    for key, frame in stored.items():
        _, role, arm = key.split("__")
        name = row_name(parameters["task"], role, arm, labels)
        for (held_out, condition), part in frame.groupby(["set", "condition"]):
            rows.append(
                {
                    **name._asdict(),
                    "set": held_out,
                    "condition": condition,
                    "accuracy": part["correct"].mean(),
                    "group_accuracy": part["group_correct"].mean(),
                    "guessing": (1 / part["n_options"]).mean(),
                    "n": len(part),
                }
            )
    return pd.DataFrame(rows)
