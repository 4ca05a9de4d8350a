"""The tasks (entity tracking, theory of mind, false belief) and the tuning corpora."""

from .task import get_task

__all__ = ["get_task"]
