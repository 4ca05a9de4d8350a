"""Typed parameters: every key of `conf/*/parameters*.yml` and `--params`, with its range and choices."""

from .circuits import CircuitDiscovery
from .data import DataGeneration
from .distillation import Distillation, HeadMapping
from .faults import ParameterError, nearest, plain, validate
from .run import Parameters

__all__ = [
    "CircuitDiscovery",
    "DataGeneration",
    "Distillation",
    "HeadMapping",
    "ParameterError",
    "Parameters",
    "nearest",
    "plain",
    "validate",
]
