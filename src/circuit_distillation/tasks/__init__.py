"""What is asked: entity tracking, theory of mind, and the tuning corpora."""

from .task import get_task

__all__ = ["get_task"]
