"""Pipeline `bundle`: a student as a folder to publish, in MLflow's registry, and on the hub if asked."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.arms import ARMS, PROPOSED
from circuit_distillation.grid import TEACHER
from circuit_distillation.pipelines.bundle.nodes import make_bundle, publish_bundle, register_student
from circuit_distillation.pipelines.distillation.pipeline import PAIRS

RUN = ("task", "seed", "training_seed", "experiment")


def create_pipeline() -> Pipeline:
    """`kedro run --pipelines bundle --params task=entity,student=small.circuit_ce_align_cka`."""
    role, arm = grid.student()
    arm = arm or PROPOSED  # without one the run is refused before any work
    cell = f"{role}.{arm}"
    run = {name: f"params:{name}" for name in RUN} | {"student": "params:student"}
    inputs = {"checkpoint": f"{cell}.student", "settings": f"{cell}.settings", "heads": f"{role}.heads"}
    inputs |= {"pairs": f"{role}.{PAIRS.get(ARMS[arm].pairs, 'mapping')}", "fingerprints": "fingerprints"}
    inputs |= {"teacher_circuit": f"{TEACHER}.tuned.circuit", "predictions": f"{cell}.predictions"}
    inputs |= {"base": f"{role}.base.predictions", "teacher": f"{TEACHER}.tuned.predictions"}
    inputs |= {"family": "params:family", "n_train": "params:distillation.n_train", "given": "params:given"}
    return Pipeline(
        [
            Node(make_bundle, inputs | run, "bundle", name="make_bundle"),
            Node(
                register_student,
                {"folder": "bundle", "predictions": f"{cell}.predictions"} | run,
                "bundle.registered",
                name="register_student",
            ),
            Node(
                publish_bundle,
                {"folder": "bundle", "wanted": "params:bundle"},
                "bundle.published",
                name="publish_bundle",
            ),
        ],
        tags="bundle",
    )
