"""Read every run of the study and judge the claims; nothing here needs a model."""

from __future__ import annotations


def gather(
    predictions,
    circuit_predictions,
    histories,
    circuits,
    stabilities,
    mappings,
    transfers,
    tests,
    experiment: str,
) -> tuple:
    """Outcomes by example, training by step, circuit heads, mapped pairs, and every metric of every model."""
    from circuit_distillation.study import gather as tables
    from circuit_distillation.study.outcomes import outcome_table

    stored = [
        *tables.models_of(predictions, experiment),
        *tables.models_of(circuit_predictions, experiment, suffix="_discovered"),
    ]
    return (
        outcome_table(stored),
        tables.training_table(histories, experiment),
        tables.head_table(circuits, stabilities),
        tables.pair_table(mappings, experiment),
        tables.transfer_table(transfers, experiment),
        tables.model_table(predictions, tests, experiment),
    )


def judge(outcomes, training, heads):
    """Every claim of the paper with value, interval, test and verdict."""
    from circuit_distillation.study.verdicts import claims_table

    return claims_table(outcomes, training, heads)


def summarise_runs(models):
    """Means and spreads over runs."""
    from circuit_distillation.study.accuracies import accuracy_table

    return accuracy_table(models)


def show_tables(family: dict, experiment: str, **tables) -> str:
    """The tables of docs/replication.md, in Markdown."""
    from circuit_distillation.study.document import render_tables
    from circuit_distillation.study.tables import study_tables

    own = {name: _of_experiment(table, experiment) for name, table in tables.items()}
    return render_tables(family["name"], study_tables(**own))


def _of_experiment(table, experiment: str):
    """Rows of one experiment, where a table has several."""
    return table[table["experiment"] == experiment] if "experiment" in table else table
