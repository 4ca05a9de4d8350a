"""Pipeline `reporting`: collect the artifacts of a run into the tables of all runs of the family."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.pipelines.reporting.nodes import (
    TABLES,
    build_tables,
    collect_facts,
    collect_results,
    collect_rule_scores,
    compute_significance,
    draw_figures,
    tabulate_matching,
    write_page,
)


def create_pipeline() -> Pipeline:
    """Results, significance, figures, Tables 1 to 4 and the page."""
    discovered = grid.searched()
    predictions, histories = _inputs("predictions", grid.measured()), _inputs("history", grid.cells())
    circuits = _inputs("circuit", discovered)
    alone = _inputs("circuit_predictions", discovered)
    mappings = {f"mapping__{role}__base": f"{role}.mapping" for role in grid.students()}
    named = {name: f"params:{name}" for name in ("experiment", "training_seed")}
    run = named | {name: f"params:{name}" for name in ("task", "seed")}
    family = {"family": "params:family"}
    overlaps = _inputs("overlap", discovered)
    measured = predictions | histories | alone | overlaps | run | {"test": "examples.test"}
    figures = histories | circuits | mappings | _inputs("head_scores", discovered) | run | family
    figures |= _inputs("stability", discovered)
    facts = histories | circuits | mappings | overlaps
    facts |= {"parameters": "parameters", "pretraining": "pretraining_record", "tuning": "tuning_record"}
    table_outputs = [f"{table}.{form}" for form in ("table_csv", "table_md", "table_tex") for table in TABLES]
    shown = ("results", "significance", "figures", "facts", "rule_scores")
    page = {name: name for name in shown} | named | family
    scores = {f"rule_scores__{role}__base": f"{role}.rule_scores" for role in grid.students()}
    matching = {"rule_scores": "rule_scores"} | named | family
    page |= {"study": "study.published", "corners": "regimes.published"}
    page |= {"viewers": "heads.written"}
    page |= {"teacher_tuning": "params:teacher_tuning"}
    tables = {"results": "results"} | named | family
    return Pipeline(
        [
            Node(collect_results, measured, "results", name="collect_results"),
            Node(compute_significance, predictions | run, "significance", name="compute_significance"),
            Node(draw_figures, figures, "figures", name="draw_figures"),
            Node(collect_facts, facts, "facts", name="collect_facts"),
            Node(build_tables, tables, table_outputs, name="build_tables"),
            Node(collect_rule_scores, scores | run, "rule_scores", name="collect_rule_scores"),
            Node(
                tabulate_matching,
                matching,
                ["matching.table_csv", "matching.table_md"],
                name="tabulate_matching",
            ),
            Node(write_page, page, "report", name="write_page"),
        ],
        tags="reporting",
    )


def _inputs(kind: str, models: list[tuple[str, str]]) -> dict[str, str]:
    """Argument "kind__role__arm" of a node -> dataset "role.arm.kind"."""
    return {f"{kind}__{role}__{arm}": f"{role}.{arm}.{kind}" for role, arm in models}
