"""Pipeline `data_generation`."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation.pipelines.data_generation.nodes import SPLITS, generate_corpus, generate_examples


def create_pipeline() -> Pipeline:
    """Prompts and corpus of the task."""
    inputs = ["params:data_generation", "params:task", "params:seed"]
    return Pipeline(
        [
            Node(
                generate_examples,
                inputs,
                [f"examples.{split}" for split in (*SPLITS, "discovery_corrupt")],
                name="generate_examples",
            ),
            Node(generate_corpus, inputs, ["corpus.train", "corpus.heldout"], name="generate_corpus"),
        ],
        tags="data_generation",
    )
