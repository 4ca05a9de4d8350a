"""What the blocks of parameters are made of: strict models, and numbers with a range."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """No unknown keys, no changes after validation, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# Strict numbers: `"3"`, `true` and `2.0` are no whole numbers. Nodes are told the raw value, unconverted.
Count = Annotated[int, Field(strict=True, ge=1)]
CountOrZero = Annotated[int, Field(strict=True, ge=0)]  # zero is allowed
Fraction = Annotated[float, Field(strict=True, gt=0, le=1)]
Accuracy = Annotated[float, Field(strict=True, ge=0, le=1)]
Weight = Annotated[float, Field(strict=True, ge=0)]
Positive = Annotated[float, Field(strict=True, gt=0)]
Rate = Annotated[float, Field(strict=True, gt=0, le=1)]  # a learning rate
DomainShare = Annotated[float, Field(strict=True, gt=0, le=0.5)]  # of the task's own prompts in a mixture
Flag = Annotated[bool, Field(strict=True)]
Processes = Annotated[int, Field(strict=True, ge=1, le=1024)]
Name = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
        description="a name of letters, digits, `_` and `-`, at most 64, the first a letter or digit",
    ),
]
Label = Annotated[
    str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,40}$", description="a text of 1 to 40 characters on one line")
]
