"""Parameters of circuit discovery."""

from __future__ import annotations

from circuit_distillation.circuits.settings import MeanAblation, PathPatching
from circuit_distillation.parameters.tasks import by_task
from circuit_distillation.ranges import Processes, Strict


@by_task(entity=PathPatching, others=MeanAblation)
class CircuitDiscovery(Strict):
    """How the circuit of each task is found."""

    processes: Processes
