"""A table as Markdown and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from circuit_distillation.reporting.tables import NAMES

TEXTS = (*NAMES, "task", "student", "rule")
HEADINGS: Mapping[str, str] = {
    "block": "Block",
    "model": "Model",
    "loss": "Loss",
    "full_model": "Full model",
    "circuit": "Circuit",
    "random_circuit": "Random circuit",
    "faithfulness": "Faithfulness",
    "candidate_accuracy": "Candidates",
    "pct_heads": "Heads, %",
    "pct_parameters": "Parameters, %",
    "n_test": "Test prompts",
    "seeds": "Seeds",
    "paper_full_model": "Paper: full model",
    "paper_circuit": "Paper: circuit",
    "task": "Task",
    "student": "Student",
    "rule": "Rule",
    "n_heads": "Heads",
    "n_pairs": "Pairs",
    "ancestor_share": "On the own ancestor",
    "chance_ancestor": "Chance",
    "stage_share": "On the same stage",
    "chance_stage": "Chance",
}
_DECIMALS = {
    "pct_heads": 1,
    "pct_parameters": 1,
    "n_test": 0,
    "seeds": 0,
    "n_heads": 1,
    "n_pairs": 1,
    "paper_full_model": 2,
    "paper_circuit": 2,
}
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def cell_text(column: str, value: float | str | None) -> str:
    """A cell as people read it: 3 decimals for what was measured, 2 for the paper, empty if missing."""
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return ""
    return f"{float(value):.{_DECIMALS.get(column, 3)}f}"


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """A pipe table under its caption; text left, numbers right."""
    columns = list(table.columns)
    lines = [
        f"**{_markdown(caption)}**",
        "",
        "| " + " | ".join(HEADINGS[name] for name in columns) + " |",
        "|" + "|".join(":---" if name in TEXTS else "---:" for name in columns) + "|",
    ]
    for row in table.to_dict("records"):
        lines.append("| " + " | ".join(_markdown(cell_text(name, row[name])) for name in columns) + " |")
    return "\n".join(lines) + "\n"


def to_latex(table: pd.DataFrame, caption: str, label: str) -> str:
    """A booktabs table; every text is escaped."""
    columns = list(table.columns)
    alignment = "".join("l" if name in NAMES else "r" for name in columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_escape(caption)}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        " & ".join(latex_escape(HEADINGS[name]) for name in columns) + r" \\",
    ]
    block = None
    for row in table.to_dict("records"):
        if row["block"] != block:
            lines.append(r"\midrule")
        # The name of a block is printed once, at its first row.
        shown = row if row["block"] != block else {**row, "block": ""}
        block = row["block"]
        lines.append(" & ".join(latex_escape(cell_text(name, shown[name])) for name in columns) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def latex_escape(text: str) -> str:
    """`text` with every character that LaTeX reads as a command made literal."""
    return re.sub(r"[\\~^&%$#_{}]", lambda match: _LATEX[match.group()], text)


def _markdown(text: str) -> str:
    return re.sub(r"([\\|*_<>`\[\]])", r"\\\1", text.replace("\n", " "))
