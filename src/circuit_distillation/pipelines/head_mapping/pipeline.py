"""Pipeline `head_mapping`."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation.grid import STUDENTS, TEACHER
from circuit_distillation.pipelines.head_mapping.nodes import choose_heads, draw_controls, map_heads

# Settings that the relevant heads depend on, and the control pairs.
OF_HEADS = ("performance", "student_heads", "fraction")
OF_CONTROLS = ("student_form", "baseline", "performance", "random_from", "fraction", "seed")


def create_pipeline() -> Pipeline:
    """For each student its relevant heads, control pairs, and the mapping onto the tuned teacher."""
    return Pipeline([node for role in STUDENTS for node in _cell(role)], tags="head_mapping")


def _cell(role: str) -> list[Node]:
    student, teacher = f"{role}.base", f"{TEACHER}.tuned"
    effects = {
        "student_effects": f"{student}.ablation_effects",
        "teacher_effects": f"{teacher}.ablation_effects",
        "teacher_circuit": f"{teacher}.circuit",
        "heads": f"{role}.heads",
    }
    features = {
        "student_features": f"{student}.head_features",
        "teacher_features": f"{teacher}.head_features",
    }
    own = {"effects": f"{student}.ablation_effects", "circuit": f"{student}.circuit"}
    mapped = effects | features | {"controls": f"{role}.control_pairs", "settings": "params:mapping"}
    parts = [
        (choose_heads, own | _choices(OF_HEADS), "heads"),
        (draw_controls, effects | _choices(OF_CONTROLS), "control_pairs"),
        (map_heads, mapped, "mapping"),
    ]
    return [
        Node(function, inputs, f"{role}.{made}", name=function.__name__, namespace=f"{role}.map")
        for function, inputs, made in parts
    ]


def _choices(names: tuple[str, ...]) -> dict[str, str]:
    return {name: f"params:mapping.{name}" for name in names}
