"""Pipeline `data_generation`."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.pipelines.data_generation.nodes import (
    generate_corpus,
    generate_examples,
    generate_examples_for_models,
)
from circuit_distillation.tasks.splits import SPLITS


def create_pipeline() -> Pipeline:
    """Prompts and corpus of the task; prompts for loaded models are made to fit their tokenizer."""
    sizes, run = ["groups", "task_options"], ["params:task", "params:seed"]
    inputs = [f"params:data_generation.{name}" for name in sizes]
    fitted = [*inputs, "params:family.models", "params:family.loading", "pretraining_record", *run]
    return Pipeline(
        [
            Node(
                generate_examples_for_models if grid.loaded() else generate_examples,
                fitted if grid.loaded() else [*inputs, *run],
                [f"examples.{split}" for split in (*SPLITS, "discovery_corrupt")],
                name="generate_examples",
            ),
            Node(
                generate_corpus,
                ["params:data_generation.corpus", *run],
                ["corpus.train", "corpus.heldout"],
                name="generate_corpus",
            ),
        ],
        tags="data_generation",
    )
