"""Pipeline `head_mapping`."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.grid import TEACHER
from circuit_distillation.pipelines.head_mapping.nodes import (
    choose_heads,
    draw_controls,
    draw_other_roles,
    map_heads,
    score_rules,
)

# Settings that the relevant heads depend on, and the control pairs.
OF_HEADS = ("performance", "student_heads", "fraction")
OF_CONTROLS = ("student_form", "baseline", "performance", "random_from", "fraction", "seed")


def create_pipeline() -> Pipeline:
    """For each student its relevant heads, the mapping onto the tuned teacher, another one by function,
    control pairs of both, and how all rules compare with the truth."""
    return Pipeline([node for role in grid.students() for node in _cell(role)], tags="head_mapping")


def _cell(role: str) -> list[Node]:
    compared = _of_both(role, "ablation_effects", "effects") | _of_both(
        role, "attention_profiles", "profiles"
    )
    compared |= {"teacher_circuit": f"{TEACHER}.tuned.circuit", "heads": f"{role}.heads"}
    own = {"effects": f"{role}.base.ablation_effects", "circuit": f"{role}.base.circuit"}
    known = compared | _of_both(role, "head_features", "features") | {"student_circuit": own["circuit"]}
    known["ancestry"] = "base.ancestry"
    mapped = known | {"controls": f"{role}.control_pairs"}
    by_function = {"mapping": f"{role}.function_mapping", "teacher_circuit": compared["teacher_circuit"]}
    by_function |= {"teacher_profiles": compared["teacher_profiles"], "seed": "params:function_mapping.seed"}
    parts = [
        (choose_heads, own | _choices(OF_HEADS), "heads", "choose_heads"),
        (draw_controls, compared | _choices(OF_CONTROLS), "control_pairs", "draw_controls"),
        (map_heads, mapped | {"settings": "params:mapping"}, "mapping", "map_heads"),
        (map_heads, mapped | {"settings": "params:function_mapping"}, "function_mapping", "map_by_function"),
        (draw_other_roles, by_function, "other_role_pairs", "draw_other_roles"),
        (score_rules, known | {"settings": "params:function_mapping"}, "rule_scores", "score_rules"),
    ]
    return [
        Node(function, inputs, f"{role}.{made}", name=name, namespace=f"{role}.map")
        for function, inputs, made, name in parts
    ]


def _of_both(role: str, dataset: str, argument: str) -> dict[str, str]:
    """A dataset of the student's base and of the tuned teacher."""
    return {
        f"student_{argument}": f"{role}.base.{dataset}",
        f"teacher_{argument}": f"{TEACHER}.tuned.{dataset}",
    }


def _choices(names: tuple[str, ...]) -> dict[str, str]:
    return {name: f"params:mapping.{name}" for name in names}
