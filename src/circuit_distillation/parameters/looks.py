"""Parameters of the pipelines that show one student: `heads` and `bundle`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from circuit_distillation.arms import ARMS
from circuit_distillation.heads import Head
from circuit_distillation.ranges import Count, Flag, OneOf, Strict

HEAD = re.compile(r"L(\d+)\.H(\d+)")

StudentName = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$",
        description="a student, such as small, or one with its arm, such as small.circuit_ce_align_cka",
    ),
]
HeadName = Annotated[str, Field(pattern=f"^{HEAD.pattern}$", description="a head such as L1.H3")]
RepoName = Annotated[
    str, Field(pattern=r"^[\w.-]{1,96}/[\w.-]{1,96}$", description="owner/name of a repository of the hub")
]


def head_of(name: str) -> Head:
    """(1, 3) of "L1.H3"."""
    match = HEAD.fullmatch(name)
    assert match, "parameters have been checked"
    return int(match[1]), int(match[2])


def joined_by_plus(names: Any) -> Any:
    """`L1.H3+L2.H7`: on a command line a comma would end the parameter."""
    return names.split("+") if isinstance(names, str) else names


class Publishing(Strict):
    """Whether, and where, the pipeline `bundle` pushes to the hub."""

    push: Flag
    repo: RepoName | None
    private: Flag

    @model_validator(mode="after")
    def _where(self) -> Publishing:
        if self.push and self.repo is None:
            raise ValueError("`push` needs `repo`, where to: --params bundle.repo=owner/name")
        return self


class HeadViewer(Strict):
    """What the pipeline `heads` shows; nothing named: everything there is."""

    pairs: tuple[HeadName, ...]  # student heads
    arms: tuple[Annotated[str, OneOf(ARMS)], ...]
    n_prompts: Count

    _joined = field_validator("pairs", "arms", mode="before")(joined_by_plus)
