"""Score models on BigToM, ToMi and Hi-ToM, from files of the user's own."""

from __future__ import annotations

from typing import Any

from circuit_distillation.parameters.loaded import HeldOut

SETS = ("bigtom", "tomi", "hitom")


def score_held_out(checkpoint, parameters: HeldOut, seed: int):
    """Every question of every file that is named: the option chosen, and whether its whole group is right."""
    import pandas as pd

    from circuit_distillation.models.likelihood import choice_frame
    from circuit_distillation.tasks.held_out import read_held_out

    paths = {name: getattr(parameters, name) for name in SETS}
    if not any(paths.values()):
        raise ValueError(f"no file to score: set one of {', '.join(f'held_out.{name}' for name in SETS)}")
    frames = [
        choice_frame(checkpoint, read_held_out(path, seed)).assign(set=name)
        for name, path in paths.items()
        if path is not None
    ]
    return pd.concat(frames, ignore_index=True)


def tabulate_held_out(parameters: dict[str, Any], **stored):
    """Accuracy of every model by set and condition, by item and by whole group, beside guessing."""
    import pandas as pd

    from circuit_distillation.parameters import plain
    from circuit_distillation.reporting.arms import row_name

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
