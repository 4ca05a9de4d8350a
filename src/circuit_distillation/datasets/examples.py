"""A Kedro dataset for the prompts of a split: examples of a task in memory, a Parquet table on disk."""

from __future__ import annotations

from kedro_datasets._typing import TablePreview

from circuit_distillation.datasets.files import ParquetDataset, table_preview
from circuit_distillation.tasks.example import Example, from_frame, to_frame


class ExamplesDataset(ParquetDataset):
    """A list of examples, one row each."""

    def load(self) -> list[Example]:
        """The examples. `BrokenArtifactError` if the file is not what was written."""
        return from_frame(super().load())

    def save(self, data: list[Example]) -> None:
        """Write beside, then rename."""
        super().save(to_frame(data))

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows, for Kedro-Viz."""
        return table_preview(super().load(), nrows)
