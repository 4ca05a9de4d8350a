"""docs/replication.md: every figure and every sentence with one is made from the stored tables of a study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from circuit_distillation.reporting.answer import TASK_NAMES
from circuit_distillation.study.claims import ALPHA, RUN_CLAIMS, SMALLEST
from circuit_distillation.study.explanations import best_settings, explanations, tried_settings
from circuit_distillation.study.markdown import interval, markdown_table, number, signed
from circuit_distillation.study.verdicts import FAILS, HOLDS, OPEN

ARMS = {
    "base": "Base",
    "full_ce": "CE, all weights",
    "circuit_ce": "CE",
    "circuit_align_cka": "Align CKA",
    "circuit_ce_rand_cka": "CE + Rand CKA",
    "circuit_ce_align_cka": "CE + Align CKA",
    "tuned": "Tuned (the teacher, if L)",
    "random_heads_ce_align_cka": "CE + Align CKA, random heads trained",
}
ROLES = {"small": "S", "medium": "M", "large": "L"}
CELLS = ("own", "seen", "unseen")


def render_replication(
    family: str,
    *,
    claims: pd.DataFrame,
    accuracies: pd.DataFrame,
    pairs: pd.DataFrame,
    training: pd.DataFrame,
    transfer: pd.DataFrame,
    search: pd.DataFrame,
    shared: pd.DataFrame,
    sweeps: pd.DataFrame,
) -> str:
    """The document as Markdown. Each section ends with the name of the stored table it was made from."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("circuit_distillation.study", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    runs = int(claims.loc[claims["unit"] == "run", "n"].min())
    counts = claims["verdict"].value_counts()
    of_tom = accuracies[accuracies["task"] == "tom"]
    return environment.get_template("replication.md.j2").render(
        family=family,
        claims=claims,
        counts=", ".join(f"{int(counts.get(name, 0))} {name}" for name in (HOLDS, FAILS, OPEN)),
        tasks=[_task(task, claims, accuracies) for task in TASK_NAMES if task in set(claims["task"])],
        families=int(claims.loc[claims["unit"] == "family", "n"].max()),
        runs=runs,
        least_p=f"{2 / 2**runs:.4f}",
        n_tests=len(RUN_CLAIMS),
        alpha=ALPHA,
        smallest=SMALLEST,
        cells=_cells(of_tom),
        trivial={name: f"{value:.3f}" for name, value in of_tom.groupby("metric")["mean"].mean().items()},
        alignment=_alignment(training),
        collapse=_collapse(pairs),
        transfer=_transfer(transfer),
        n_shared=0 if search.empty or shared.empty else int(shared.groupby("task").size().max()),
        n_trials=0 if search.empty else int(search.groupby(["task", "arm"]).size().max()),
        searches=_search(search, shared),
        explanations=_explanations(claims, sweeps, search),
        best=_best(sweeps),
        best_of=tried_settings(sweeps),
        sweeps=_sweeps(sweeps),
    )


def _task(task: str, claims: pd.DataFrame, accuracies: pd.DataFrame) -> dict[str, str]:
    own = claims[claims["task"] == task]
    said = {key: own.loc[own["verdict"] == name, "claim"] for key, name in
            (("holds", HOLDS), ("fails", FAILS), ("open", OPEN))}  # fmt: skip
    return {
        "name": TASK_NAMES[task],
        **{key: ", ".join(f"`{name}`" for name in names) for key, names in said.items()},
        "run_claims": _run_claims(own[own["unit"] == "run"]),
        "family_claims": _family_claims(own[own["unit"] == "family"]),
        "accuracies": _accuracies(accuracies[accuracies["task"] == task]),
    }


def _run_claims(claims: pd.DataFrame) -> str:
    return markdown_table(
        [
            {
                "claim": f"{row['statement']} (`{row['claim']}`)",
                "paper": signed(row["paper"]),
                "here": signed(row["value"]),
                "95 %": interval(row["low"], row["high"]),
                "scenes alone": interval(row["scene_low"], row["scene_high"]),
                "S": signed(row["small"]),
                "M": signed(row["medium"]),
                "p, Holm": number(row["p_holm"], 4),
                "could see": number(row["detectable"]),
                "McNemar better / worse / of": _mcnemar(row),
                "verdict": f"**{row['verdict']}**",
            }
            for row in claims.to_dict("records")
        ]
    )


def _family_claims(claims: pd.DataFrame) -> str:
    return markdown_table(
        [
            {
                "claim": f"{row['statement']} (`{row['claim']}`)",
                "paper": number(row["paper"]),
                "here": number(row["value"]),
                "95 %": interval(row["low"], row["high"]),
                "holds from": number(row["threshold"], 2),
                "verdict": f"**{row['verdict']}**",
            }
            for row in claims.to_dict("records")
        ]
    )


def _mcnemar(row: dict[str, Any]) -> str:
    if pd.isna(row["mcnemar_tests"]):
        return ""
    return " / ".join(str(int(row[f"mcnemar_{name}"])) for name in ("better", "worse", "tests"))


def _models(accuracies: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Name and metrics of every model, in the order of the paper's tables."""
    for role, label in ROLES.items():
        for arm, name in ARMS.items():
            own = accuracies[(accuracies["model"] == role) & (accuracies["arm"] == arm)]
            if len(own):
                yield {"model": label, "arm": name}, own.set_index("metric")


def _accuracies(accuracies: pd.DataFrame) -> str:
    columns = {"full model": "full_accuracy", "circuit": "circuit_accuracy"}
    columns |= {"random circuit": "random_circuit_accuracy"}
    return markdown_table(
        [
            names
            | {heading: _mean_sd(own, metric) for heading, metric in columns.items()}
            | {"runs": str(int(own.loc["full_accuracy", "runs"]))}
            for names, own in _models(accuracies)
        ]
    )


def _cells(accuracies: pd.DataFrame) -> str:
    columns = {cell: f"full_accuracy.{cell}" for cell in CELLS}
    columns |= {"balanced": "balanced_full_accuracy", "invalid answers": "full_invalid"}
    return markdown_table(
        [
            names | {heading: _mean_sd(own, metric) for heading, metric in columns.items()}
            for names, own in _models(accuracies)
        ]
    )


def _mean_sd(own: pd.DataFrame, metric: str) -> str:
    if metric not in own.index:
        return ""
    mean, sd = own.loc[metric, "mean"], own.loc[metric, "sd"]
    return number(mean) + ("" if pd.isna(sd) else f" ± {sd:.3f}")


def _alignment(training: pd.DataFrame) -> str:
    keys = ["task", "role", "arm"]
    aligned = training[training["similarity"].notna()].sort_values("step")
    by_run = aligned.groupby([*keys, "seed", "training_seed"], sort=False)
    first, last = (rows.groupby(keys)["similarity"].mean() for rows in (by_run.head(1), by_run.tail(1)))
    floor = aligned.groupby(keys)["noise_floor"].mean()
    return markdown_table(
        [
            {
                "task": TASK_NAMES[task],
                "student": ROLES[role],
                "arm": ARMS[arm],
                "CKA, first step": number(first[task, role, arm]),
                "CKA, last step": number(last[task, role, arm]),
                "noise floor": number(floor[task, role, arm]),
            }
            for task, role, arm in first.index
        ]
    )


def _collapse(pairs: pd.DataFrame) -> str:
    if pairs.empty:
        return ""
    counts = pairs.groupby(["task", "student", "seed"])["teacher_head"].agg(["size", "nunique"])
    return "; ".join(
        f"{TASK_NAMES[str(task)]}, {ROLES[str(student)]}: {part['nunique'].mean():.1f} distinct teacher "
        f"heads for {part['size'].mean():.1f} student heads"
        for (task, student), part in counts.groupby(["task", "student"], sort=False)
    )


def _transfer(transfer: pd.DataFrame) -> str:
    columns = {
        "CKA, mapped": "cka_mapped",
        "weighted": "cka_weighted",
        "random": "cka_random",
        "mapped, novel": "cka_mapped_novel",
        "random, novel": "cka_random_novel",
        "teacher's answer": "agreement",
        "after exchange": "interchange",
        "teacher moved": "moved",
        "there": "interchange_moved",
        "there, other heads": "interchange_control",
        "right": "held_out_accuracy",
        "familiar, right": "familiar_accuracy",
        "familiar, CE": "familiar_ce",
        "mapped heads in its circuit": "trained_in_circuit",
        "circuit as the base's": "same_as_base",
    }
    if transfer.empty:
        return ""
    means = transfer.groupby(["task", "role", "arm"])[list(columns.values())].mean()
    return markdown_table(
        [
            {"task": TASK_NAMES[task], "student": ROLES[role], "arm": ARMS[arm]}
            | {heading: number(means.loc[(task, role, arm), name]) for heading, name in columns.items()}
            for task in TASK_NAMES
            for role in ROLES
            for arm in ARMS
            if (task, role, arm) in means.index
        ]
    )


def _search(search: pd.DataFrame, shared: pd.DataFrame) -> list[dict[str, str]]:
    if search.empty or shared.empty:
        return []  # the search has not ended
    chosen = {"chosen": lambda row: "yes" if row["chosen"] else ""}
    return [
        {
            "name": TASK_NAMES[str(task)],
            "shared": _trials(shared[shared["task"] == task], chosen),
            "table": _trials(own, chosen),
        }
        for task, own in search.groupby("task")
    ]


def _explanations(claims: pd.DataFrame, sweeps: pd.DataFrame, search: pd.DataFrame) -> str:
    rows = explanations(claims, sweeps, search)
    return markdown_table([row | {"task": TASK_NAMES[row["task"]]} for row in rows])


def _best(sweeps: pd.DataFrame) -> list[dict[str, str]]:
    """The best setting of a task that any sweep found for CE + Align CKA, and for CE alone."""
    found = []
    for task in sweeps["task"].unique() if len(sweeps) else ():
        best = best_settings(sweeps, str(task))
        found.append({"name": TASK_NAMES[str(task)]})
        for arm, (changes, accuracy) in best.items():
            found[-1] |= {f"{arm}_settings": changes, f"{arm}_accuracy": number(accuracy)}
    return found


def _sweeps(sweeps: pd.DataFrame) -> list[dict[str, str]]:
    if sweeps.empty:
        return []
    columns = [
        "full_accuracy",
        "circuit_accuracy",
        "ce",
        "similarity",
        "noise_floor",
        "distinct_teacher_heads",
    ]
    means = sweeps.groupby(["sweep", "task", "arm", "changes"], sort=False)[columns].mean().reset_index()
    more = {
        "noise floor": lambda row: number(row["noise_floor"]),
        "distinct teacher heads": lambda row: number(row["distinct_teacher_heads"], 1),
    }
    return [
        {"name": str(sweep).replace("_", " ").capitalize(), "table": _trials(own, more, with_task=True)}
        for sweep, own in means.groupby("sweep", sort=False)
    ]


def _trials(rows: pd.DataFrame, more: dict[str, Any], with_task: bool = False) -> str:
    return markdown_table(
        [
            ({"task": TASK_NAMES[row["task"]]} if with_task else {})
            | ({"arm": ARMS[row["arm"]]} if "arm" in row else {})
            | {
                "settings": f"`{row['changes']}`",
                "validation, full": number(row["full_accuracy"]),
                "validation, circuit": number(row["circuit_accuracy"]),
                "CE": number(row["ce"]),
                "CKA": number(row["similarity"]),
            }
            | {heading: text(row) for heading, text in more.items()}
            for row in rows.to_dict("records")
        ]
    )
