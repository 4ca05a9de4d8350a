"""Pipeline `heads`: paired heads of one student and the teacher on a few prompts, as one page and as SVG."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.grid import TEACHER
from circuit_distillation.pipelines.heads.nodes import show_heads

MEASURED = ("circuit", "head_scores", "stability")


def create_pipeline() -> Pipeline:
    """`kedro run --pipelines heads --params task=entity,student=small`."""
    role, _ = grid.student()
    inputs = {"teacher": f"tuned.{TEACHER}", "base": f"base.{role}", "students": "students"}
    inputs |= {"test": "examples.test", "means": "examples.means", "wanted": "params:heads"}
    inputs |= {"mapping": f"{role}.mapping", "by_function": f"{role}.function_mapping"}
    inputs |= {name: f"params:{name}" for name in ("task", "seed", "experiment", "training_seed", "family")}
    inputs |= {f"student_{name}": f"{role}.base.{name}" for name in MEASURED}
    inputs |= {f"teacher_{name}": f"{TEACHER}.tuned.{name}" for name in MEASURED}
    inputs["role"] = f"params:family.roles.{role}"
    return Pipeline([Node(show_heads, inputs, "heads", name="show_heads")], tags="heads")
