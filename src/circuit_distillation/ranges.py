"""Building blocks for settings: a strict base class, and types with a range.

Each setting is declared once, in the library that uses it; `parameters/` composes these declarations. So all
other modules may import this one, and modules of settings must be fast to import.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
)
from pydantic_core import PydanticUndefined, core_schema


class Strict(BaseModel):
    """No unknown keys, no changes after validation, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FromFiles(Strict):
    """A block of the parameter files made of the library's settings: the files must give each of them."""

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        super().__pydantic_init_subclass__(**options)
        for field in cls.model_fields.values():
            field.default = PydanticUndefined
        cls.model_rebuild(force=True)


class OneOf:
    """Annotation of a text that must be one of some names, such as those of a table."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)

    def __get_pydantic_core_schema__(self, *_: Any) -> core_schema.CoreSchema:
        return core_schema.literal_schema(self._names)


Block = TypeVar("Block", bound=Strict)


def changes_of(*settings: type[Strict], only: Iterable[str]) -> Callable[[type[Block]], type[Block]]:
    """Gives a block those of these settings that `only` names, each in its range or absent."""
    fields = {key: field for kind in settings for key, field in kind.model_fields.items()}
    kinds: dict[str, Any] = {}
    for key in only:
        kind: Any = fields[key].annotation
        for range_ in fields[key].metadata:
            kind = Annotated[kind, range_]
        kinds[key] = (kind | None, None)
    return with_fields(kinds)


def with_fields(fields: dict[str, Any]) -> Callable[[type[Block]], type[Block]]:
    """Gives a block more fields, each a type and a default."""

    def extended(block: type[Block]) -> type[Block]:
        name, doc, module = block.__name__, block.__doc__, block.__module__
        return create_model(name, __base__=block, __doc__=doc, __module__=module, **fields)

    return extended


Setting = TypeVar("Setting")


class OfRoles(Strict, Generic[Setting]):
    """One setting for each role that a family has: `large`, the teacher, and students in this order."""

    tiny: Setting | None = None
    small: Setting | None = None
    medium: Setting | None = None
    big: Setting | None = None
    large: Setting

    def of(self, role: str) -> Setting:
        """The setting of a role."""
        return getattr(self, role)

    def __iter__(self) -> Generator[tuple[str, Setting]]:
        """Roles and settings, without roles that are null."""
        yield from ((role, setting) for role, setting in super().__iter__() if setting is not None)

    @model_serializer(mode="wrap")
    def _without_nulls(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {role: setting for role, setting in dump(self).items() if setting is not None}


# Strict numbers: `"3"`, `true` and `2.0` are no whole numbers.
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
