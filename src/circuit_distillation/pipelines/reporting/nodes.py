"""Tables, significance, figures and the page: pure functions of what earlier pipelines stored."""

from __future__ import annotations

from typing import Any

TABLES = ("table1", "table2", "table3", "table4")


def collect_results(test, parameters: dict[str, Any], **stored):
    """Long rows of every metric of every model of this run.

    `stored` holds "predictions__role__arm" and "history__role__arm" frames.
    """
    import pandas as pd

    from circuit_distillation.reporting.results import result_rows

    rows = []
    for role, arm, predictions in _named(stored, "predictions"):
        history = stored.get(f"history__{role}__{arm}")
        rows.append(
            result_rows(
                predictions,
                **_run(parameters),
                model=role,
                arm=arm,
                examples=test,
                measured=_trained_shares(history),
            )
        )
    return pd.concat(rows, ignore_index=True)


def compute_significance(parameters: dict[str, Any], **stored):
    """McNemar's tests of appendix A.1, corrected after Holm."""
    from circuit_distillation.reporting.significance import significance_table

    frames = {f"{role}.{arm}": frame for role, arm, frame in _named(stored, "predictions")}
    return significance_table(frames, **_run(parameters))


def build_tables(results, family: dict[str, Any]) -> tuple:
    """Tables 1 to 4 from the rows of every run: frames, then Markdown, then LaTeX."""
    from circuit_distillation.reporting.table_text import to_latex, to_markdown
    from circuit_distillation.reporting.tables import CAPTIONS, build_table

    numbers = range(1, len(TABLES) + 1)
    frames = [build_table(results, number, _labels(family)) for number in numbers]
    captioned = [(frame, f"Table {number}. {CAPTIONS[number]}") for number, frame in zip(numbers, frames, strict=True)]
    markdown = [to_markdown(frame, caption) for frame, caption in captioned]
    return *frames, *markdown, *(to_latex(frame, caption) for frame, caption in captioned)


def _named(stored: dict[str, Any], kind: str):
    """(role, arm, frame) of every stored input of a kind, given as "kind__role__arm"."""
    for key, frame in stored.items():
        name, role, arm = key.split("__")
        if name == kind:
            yield role, arm, frame


def _run(parameters: dict[str, Any]) -> dict[str, Any]:
    return {key: parameters[key] for key in ("task", "seed", "experiment")}


def _labels(family: dict[str, Any]) -> dict[str, str]:
    return {name: role["label"] for name, role in family["roles"].items()}


def _trained_shares(history) -> dict[str, float]:
    """Percent of heads and of parameters that an arm trained; nothing for a model no arm trained."""
    if history is None:
        return {}
    return {name: float(history[name].iloc[0]) for name in ("pct_heads", "pct_parameters")}
