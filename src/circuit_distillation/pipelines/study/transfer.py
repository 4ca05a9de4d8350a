"""Pipeline `transfer`: discover circuits again in trained students, and compare them with the teacher's."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.arms import PAPER_ARMS
from circuit_distillation.grid import TEACHER
from circuit_distillation.parameters import CircuitDiscovery, DataGeneration

RUN = ("task", "seed", "training_seed")


def create_transfer() -> Pipeline:
    """A node for each student: its base, and every arm of the paper."""
    nodes = [_node(role, "base", f"base.{role}") for role in grid.students()]
    nodes += [_node(role, arm, f"{role}.{arm}.student") for role in grid.students() for arm in PAPER_ARMS]
    return Pipeline(nodes, tags="transfer")


def _node(role: str, arm: str, student: str) -> Node:
    inputs = {
        "student": student,
        "teacher": f"tuned.{TEACHER}",
        "mapping": f"{role}.mapping",
        "base_circuit": f"{role}.base.circuit",
        "discovery": "examples.discovery",
        "corrupted": "examples.discovery_corrupt",
        "means": "examples.means",
        "held_out": "examples.validation",
        "parameters": "params:circuit_discovery",
        "data": "params:data_generation",
        **{name: f"params:{name}" for name in RUN},
    }
    return Node(
        measure_transfer,
        inputs,
        f"{role}.{arm}.transfer",
        name="measure_transfer",
        namespace=f"{role}.{arm}.study",
    )


def measure_transfer(
    student,
    teacher,
    mapping: dict,
    base_circuit: dict,
    discovery,
    corrupted,
    means,
    held_out,
    parameters: CircuitDiscovery,
    data: DataGeneration,
    **run,
):
    """One row: similarity to the teacher, the circuit discovered again, what is left of the base."""
    import pandas as pd

    from circuit_distillation.circuits.search import find_circuit
    from circuit_distillation.study.transfer import FAMILIAR, NOVEL, prompts_of, transfer_row

    task = run["task"]
    prompts = discovery, corrupted, means
    _, circuit, _ = find_circuit(
        student, *prompts, getattr(parameters, task), n_processes=parameters.processes, progress=True
    )
    of_task = getattr(data.task_options, task).model_dump(), getattr(data.groups, task).validation
    familiar = prompts_of(FAMILIAR, task, *of_task, f"{run['seed']} familiar")
    novel = prompts_of(NOVEL, task, *of_task, f"{run['seed']} novel")
    examples = (held_out, familiar, novel)
    return pd.DataFrame([transfer_row(student, teacher, mapping, circuit, base_circuit, *examples)])
