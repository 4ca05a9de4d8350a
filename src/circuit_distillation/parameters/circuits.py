"""Parameters of circuit discovery."""

from __future__ import annotations

from circuit_distillation.circuits.settings import MeanAblation, PathPatching
from circuit_distillation.parameters.tasks import by_task
from circuit_distillation.ranges import Processes

_Methods = by_task("_Methods", "", entity=PathPatching, others=MeanAblation)


class CircuitDiscovery(_Methods):
    """How the circuit of each task is found."""

    processes: Processes
