"""Inputs of a run are looked at before any work: a broken one is named with the command that makes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline

from circuit_distillation.datasets.files import JSONDataset
from circuit_distillation.hooks.artifacts import UnusableArtifactError, check_inputs

ROOT = Path(__file__).parents[2]


def test_a_broken_input_is_named_with_its_command_unless_nothing_reads_it(tmp_path):
    bootstrap_project(ROOT)
    names = ("small.mapping", "made")
    catalog = DataCatalog({name: JSONDataset(filepath=str(tmp_path / f"{name}.json")) for name in names})
    pipeline = Pipeline([Node(lambda x: x, "small.mapping", "made", name="one")])
    catalog.save("small.mapping", {"pairs": [1]})
    run = {"runtime_params": {"task": "tom"}, "env": "test"}
    check_inputs(pipeline.nodes, {"made"}, run, catalog)
    (tmp_path / "small.mapping.json").write_text("{}")
    with pytest.raises(UnusableArtifactError) as caught:
        check_inputs(pipeline.nodes, {"made"}, run, catalog)
    text = str(caught.value)
    assert "small.mapping.json is not what was written (its checksum differs): make small.mapping" in text
    # with all that is absent above it
    assert "circuit_discovery,head_mapping --env test --params task=tom`." in text
    check_inputs([], set(), run, catalog)


def test_what_an_earlier_run_of_the_same_pipeline_made_is_looked_at_too(tmp_path):
    bootstrap_project(ROOT)
    names = ("small.mapping", "made")
    catalog = DataCatalog({name: JSONDataset(filepath=str(tmp_path / f"{name}.json")) for name in names})
    makes = Node(lambda: {}, None, "small.mapping", name="makes")
    pipeline = Pipeline([makes, Node(lambda x: x, "small.mapping", "made", name="reads")])
    catalog.save("small.mapping", {"pairs": [1]})
    (tmp_path / "small.mapping.json").write_text("{}")
    run = {"runtime_params": {"task": "tom"}, "env": "test"}
    check_inputs(pipeline.nodes, pipeline.all_outputs(), run, catalog)  # makes it again
    with pytest.raises(UnusableArtifactError, match="small.mapping.json is not what was written"):
        check_inputs(pipeline.nodes[1:], {"made"}, run, catalog)


def test_what_no_pipeline_makes_has_a_remedy_without_a_command(tmp_path):
    bootstrap_project(ROOT)
    catalog = DataCatalog(
        {name: JSONDataset(filepath=str(tmp_path / f"{name}.json")) for name in ("theirs", "made")}
    )
    catalog.save("theirs", {"rows": [1]})
    (tmp_path / "theirs.json").write_text("{}")
    pipeline = Pipeline([Node(lambda x: x, "theirs", "made", name="one")])
    with pytest.raises(UnusableArtifactError, match=r"differs\): delete it, and make it again\.$"):
        check_inputs(pipeline.nodes, {"made"}, {}, catalog)
