"""Pipeline `data_generation`."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.pipelines.data_generation.nodes import (
    SPLITS,
    generate_corpus,
    generate_examples,
    generate_examples_for_models,
)


def create_pipeline() -> Pipeline:
    """Prompts and corpus of the task; prompts for loaded models are made to fit their tokenizer."""
    inputs = ["params:data_generation", "params:task", "params:seed"]
    fitted = ["params:data_generation", "params:family", "pretraining_record", "params:task", "params:seed"]
    return Pipeline(
        [
            Node(
                generate_examples_for_models if grid.loaded() else generate_examples,
                fitted if grid.loaded() else inputs,
                [f"examples.{split}" for split in (*SPLITS, "discovery_corrupt")],
                name="generate_examples",
            ),
            Node(generate_corpus, inputs, ["corpus.train", "corpus.heldout"], name="generate_corpus"),
        ],
        tags="data_generation",
    )
