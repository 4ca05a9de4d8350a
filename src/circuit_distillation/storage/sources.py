"""Where files come from: your own path, or a repository of the hub at a commit."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from circuit_distillation.ranges import Strict

HubId = Annotated[
    str,
    Field(
        pattern=r"^[\w.-]+/[\w.-]+$", description="an id of the hub, owner/name, of letters, digits and `_.-`"
    ),
]
Commit = Annotated[
    str,
    Field(pattern=r"^[0-9a-f]{40}$", description="a commit of 40 hexadecimal digits (a branch would move)"),
]


class Place(Strict):
    """`path`, a folder or file of the user, outranks `hub_id`, a repository of the hub at `revision`."""

    hub_id: HubId | None = None
    revision: Commit | None = None
    path: Annotated[str, Field(min_length=1)] | None = None

    def check_given(self) -> None:
        """ValueError unless it says where the files are."""
        if self.path is None and self.hub_id is None:
            raise ValueError("give a `path`, or a `hub_id` with its `revision`")
        if self.path is None and self.revision is None:
            raise ValueError(
                f"`revision` of {self.hub_id} is missing: pin a commit of 40 hexadecimal digits, "
                "or give a folder as `path`"
            )


class Files(Place):
    """A place that is given."""

    @model_validator(mode="after")
    def _says_where(self) -> Files:
        self.check_given()
        return self


class DataFile(Files):
    """A data set in the form of the hub; `file` is its name in the repository."""

    file: str | None = None

    @model_validator(mode="after")
    def _names_a_file(self) -> DataFile:
        if self.path is None and self.file is None:
            raise ValueError(f"`file` is missing: name the data file of {self.hub_id}")
        return self
