"""report.html: one self-contained file made of stored results, tests, figures and facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import unescape
from operator import itemgetter
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from circuit_distillation.arms import ARMS, PROPOSED
from circuit_distillation.grid import TEACHER
from circuit_distillation.reporting.answer import RIVAL_NAMES, TASK_NAMES, answer_rows, headline
from circuit_distillation.reporting.cells import CELL_METRICS, cell_rows, trivial_baselines
from circuit_distillation.reporting.corpus import corpus_rows
from circuit_distillation.reporting.facts import (
    MAPPING,
    RUN,
    STABILITY,
    collapsed_mappings,
    stabilities,
    stage_seconds,
)
from circuit_distillation.reporting.gains import corners_svg, gains_svg, study_svg
from circuit_distillation.reporting.matching import matching_table
from circuit_distillation.reporting.table_text import HEADINGS, cell_text
from circuit_distillation.reporting.tables import CAPTIONS, NAMES, OTHER_TASKS, TABLES, build_table

SECTIONS = {
    "ce_loss": ("figure-5", "Figure 5: the loss while training"),
    "heads": ("heads", "Scores of heads, stage by stage"),
    "mapping": ("mapping", "The mapping of heads"),
    "similarity": ("similarity", "Similarity over training"),
}
SHORT_RIVALS = {"circuit_ce": "CE, same heads", "full_ce": "CE, all weights"}
TEST_RIVALS = {
    **RIVAL_NAMES,
    "circuit_ce_rand_cka": ARMS["circuit_ce_rand_cka"].row.loss,
    "base": "the base student",
}

_DATA = re.compile(r'data-(section|task|seed|experiment|order)="([^"]*)"')
_ACTIVE = ("script", "foreignobject", "iframe", "object", "embed", "a")
_WORDS = re.compile(r"<title>(.*?)</title><desc>(.*?)</desc>", re.DOTALL)


def render_page(
    *,
    family: str,
    labels: Mapping[str, str],
    results: pd.DataFrame,
    significance: pd.DataFrame,
    figures: Mapping[str, bytes],
    facts: pd.DataFrame,
    experiment: str = "paper",
    scaffolded: bool = False,
    in_domain_shares: Mapping[str, float] | None = None,
    study: pd.DataFrame | None = None,
    rule_scores: pd.DataFrame | None = None,
    corners: pd.DataFrame | None = None,
    viewers: Sequence[str] = (),
) -> str:
    """The page as HTML text, with everything inside it.

    `results`, `significance` and `facts` hold the rows of every run of the family, `figures` the SVG files of
    `figures.run_figures` under `{folder of the run}/{name}`; `experiment` is the one the answer and the
    tables speak of, and whose pictures are shown: of others only the folders are named. `scaffolded` says
    that the models are the mini family, whose training builds sparse circuits in, and `in_domain_shares` is
    the share of the task's own data in the tuning mixture of each task, in [0, 1]: both are said on the
    page. `study` is the claims table of the study over seeds, if the family has one, `rule_scores` the rows
    of `mapping.score` of every run, `corners` the published rows of `study.regime_tables.corners`, and
    `viewers` the pages of heads beside this one, as paths.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("circuit_distillation.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"signed": _signed, "number": _number, "p_value": _p_value}
    results = results[results["model"].isin(labels)]  # not of roles that the family had before
    significance = significance[significance["student"].isin(labels)]
    answers = answer_rows(significance, labels, experiment)
    pictures, elsewhere = _pictures(figures, experiment)
    return environment.get_template("page.html.j2").render(
        family=family,
        experiment=experiment,
        headline=headline(answers),
        answers=answers,
        gains=_gains(answers),
        study_picture="" if study is None else study_svg(study),
        corners="" if corners is None else corners_svg(corners),
        study=[] if study is None else study.to_dict("records"),
        tables=_tables(results, labels, experiment),
        tests=significance.to_dict("records"),
        viewers=viewers,
        sections=_sections(pictures),
        elsewhere=elsewhere,
        matching=_matching(rule_scores, labels, experiment),
        cells=_grouped(cell_rows(results, labels, experiment), lambda row: row["name"].block),
        cell_headings=list(CELL_METRICS),
        corpus=corpus_rows(facts, labels, in_domain_shares or {}),
        trivial=trivial_baselines(results),
        runs=_runs(facts),
        seconds=stage_seconds(facts),
        stabilities=[row | {"run": _run_title(row["run"])} for row in stabilities(facts, labels)],
        scaffolded=scaffolded,
        shares=in_domain_shares or {},
        collapsed=collapsed_mappings(facts),
        students=[label for role, label in labels.items() if role != TEACHER],
        labels=labels,
        task_names=TASK_NAMES,
        proposed=PROPOSED,
        rivals=TEST_RIVALS,
    )


def _gains(answers: list[dict[str, Any]]) -> str:
    """The answer as a picture; empty where there is no answer."""
    rows = [
        {
            **row,
            "group": row["task"],
            "label": f"{row['student']}, {row['scope']}, against {SHORT_RIVALS[row['rival']]}",
            "value": row["gain"],
            "paper": row["paper_gain"],
            "verdict": _short(row),
        }
        for row in answers
    ]
    title = "Accuracy gained by CE + Align CKA"
    words = "Each line: gain, 95 % interval, verdict by shape, and a stroke for the paper's gain."
    return gains_svg(rows, name="gains", title=title, description=words) if rows else ""


def _short(row: Mapping[str, Any]) -> str:
    """The verdict of one seed; of several seeds only what all of them say."""
    if row["seeds"] == 1:
        return row["verdict"]
    agreed = [name for name in ("better", "worse") if row[name] == row["seeds"]]
    return agreed[0] if agreed else "seeds differ or say nothing"


def _grouped(rows: Iterable[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    """Rows by key, keys in the order in which they come first."""
    groups: dict[Any, list[Any]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _tables(results: pd.DataFrame, labels: Mapping[str, str], experiment: str) -> list[dict[str, Any]]:
    """The paper's, and that of other tasks if there are any."""
    tables = [_table(results, number, labels, experiment) for number in (*TABLES, OTHER_TASKS)]
    return [table for table in tables if table["number"] in TABLES or table["measured"]]


def _table(results: pd.DataFrame, number: int, labels: Mapping[str, str], experiment: str) -> dict[str, Any]:
    """A table for the template: headings and, block by block, the texts of its rows."""
    frame = build_table(results, number, labels, experiment)
    columns = [name for name in frame.columns if name not in NAMES]
    rows = [
        row | {"values": [cell_text(name, row[name]) for name in columns]} for row in frame.to_dict("records")
    ]
    return {
        "number": number,
        "caption": CAPTIONS[number],
        "headings": [HEADINGS[name] for name in columns],
        "blocks": _grouped(rows, itemgetter("block")),
        "measured": bool(frame["n_test"].notna().any()),
    }


def _matching(
    rows: pd.DataFrame | None, labels: Mapping[str, str], experiment: str
) -> dict[str, list[dict[str, Any]]]:
    """Task -> texts of the rows of matching rules."""
    if rows is None:
        return {}
    texts = [
        {name: cell_text(name, value) for name, value in row.items()}
        for row in matching_table(rows, labels, experiment).to_dict("records")
    ]
    return _grouped(texts, itemgetter("task"))


def _pictures(figures: Mapping[str, bytes], experiment: str) -> tuple[list[dict[str, str]], list[str]]:
    """The pictures of an experiment in their order, and the folders of those of others."""
    pictures, elsewhere = [], set()
    for name, content in figures.items():
        svg = content.decode()
        data = dict(_DATA.findall(svg.partition(">")[0]))
        if data.get("experiment", experiment) == experiment:
            pictures.append(_picture(svg, data))
        else:
            elsewhere.add(name.rpartition("/")[0])
    return sorted(pictures, key=lambda one: int(one["order"])), sorted(elsewhere)


def _sections(pictures: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Pictures by section and run; the first run of each task is shown, the others are folded away."""
    sections = []
    for section, (anchor, heading) in SECTIONS.items():
        own = (picture for picture in pictures if picture["section"] == section)
        runs = _grouped(own, lambda one: (one["task"], int(one["seed"]), one["experiment"]))
        seen: set[str] = set()
        groups = []
        for run, members in sorted(runs.items()):
            groups.append({"title": _run_title(run), "pictures": members, "open": run[0] not in seen})
            seen.add(run[0])
        sections.append({"anchor": anchor, "heading": heading, "groups": groups})
    return sections


def _picture(svg: str, data: Mapping[str, str]) -> dict[str, str]:
    words = _WORDS.search(svg)
    if words is None or len(data) < 5:
        raise ValueError(
            "a figure has no title and description; draw the figures again with figures.run_figures"
        )
    _check_passive(svg)
    return {"svg": svg, "title": unescape(words[1]), "description": unescape(words[2]), **data}


def _check_passive(svg: str) -> None:
    """ValueError for a figure with scripts, handlers, foreign documents or addresses outside of it.

    Figures enter the page as they are, and a file in their folder may be anybody's.
    """
    try:
        elements = list(ElementTree.fromstring(svg).iter())
    except ElementTree.ParseError as error:
        raise ValueError(f"a figure is no SVG ({error}); draw the figures again") from None
    for element in elements:
        tag = str(element.tag).rpartition("}")[2].lower()
        named = [(name.rpartition("}")[2].lower(), value) for name, value in element.attrib.items()]
        addresses = [value for name, value in named if name == "href"]
        outside = [value for value in addresses if not value.startswith(("#", "data:image/"))]
        if tag in _ACTIVE or outside or any(name.startswith("on") for name, _ in named):
            raise ValueError(f"a figure has scripts or outside addresses (<{tag}>); draw the figures again")


def _runs(facts: pd.DataFrame) -> list[dict[str, Any]]:
    """How each run was made, group by group; figures of mapping and stability stand elsewhere."""
    shown = facts[~facts["group"].isin([MAPPING, STABILITY])]
    return [
        {
            "title": _run_title(run),
            "groups": {
                group: list(zip(part["name"], part["value"], strict=True))
                for group, part in rows.groupby("group", sort=False)
            },
        }
        for run, rows in shown.groupby(list(RUN))
    ]


def _run_title(run: Sequence[Any]) -> str:
    task, seed, experiment = run
    return f"{TASK_NAMES.get(task, task)}, seed {seed}, experiment {experiment}"


def _number(value: float | None, decimals: int = 3) -> str:
    return "" if value is None or pd.isna(value) else f"{value:.{decimals}f}"


def _signed(value: float | None, decimals: int = 3) -> str:
    return "" if value is None or pd.isna(value) else f"{value:+.{decimals}f}".replace("-", "−")


def _p_value(value: float | None) -> str:
    if value is None or pd.isna(value):
        return ""
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"
