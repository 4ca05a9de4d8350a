"""Circuit distillation: align the circuit heads of a student with matching heads of its teacher."""

__version__ = "0.1.0"
