"""heads.html: what a student's heads and their partners in the teacher do, on a few prompts, as one file."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from circuit_distillation.circuits.head_views import HeadView, PromptView
from circuit_distillation.circuits.stability import ANY
from circuit_distillation.heads import Head
from circuit_distillation.reporting.answer import TASK_NAMES
from circuit_distillation.reporting.attention_svg import attention_svg
from circuit_distillation.reporting.head_figures import circuit_roles, stage_name
from circuit_distillation.tasks.example import Example

STEPS = 255  # in which attention is stored

Pairs = list[dict[str, Any]]
Views = Mapping[str, Sequence[PromptView]]  # model -> a view for each prompt


def shown_pairs(mapping: Mapping[str, Any], by_function: Mapping[str, Any], wanted: Sequence[Head]) -> Pairs:
    """Pairs of both mappings, each once: student, teacher, the rules that give it, impacts.

    With `wanted` student heads only theirs; ValueError for one that no mapping pairs.
    """
    pairs: dict[tuple[Head, Head], dict[str, Any]] = {}
    for record in (mapping, by_function):
        for entry in record["pairs"]:
            student, teacher = tuple(entry["student"]), tuple(entry["teacher"])
            own = pairs.setdefault((student, teacher), {"student": student, "teacher": teacher, "rules": []})
            own["rules"].append(record["rule"])
            own |= {name: entry[name] for name in ("student_impact", "teacher_impact") if name in entry}
    paired = sorted({student for student, _ in pairs})
    if strange := [head for head in wanted if head not in paired]:
        raise ValueError(
            f"`heads.pairs`: no mapping pairs {_name(strange[0])}; there are {', '.join(map(_name, paired))}"
        )
    return [pair for pair in pairs.values() if not wanted or pair["student"] in wanted]


def choose_prompts(test: Sequence[Example], n: int) -> list[Example]:
    """The first of each template and cell, then the second of each, and so on, `n` in all."""
    turns: dict[tuple[str, str], int] = {}
    order = []
    for index, example in enumerate(test):
        kind = example.template, example.cell
        turns[kind] = turns.get(kind, 0) + 1
        order.append((turns[kind], index))
    return [test[index] for _, index in sorted(order)[:n]]


def viewer_data(
    tokenizer: Any,
    prompts: Sequence[Example],
    pairs: Pairs,
    models: Mapping[str, str],
    views: Views,
    measured: Mapping[str, Mapping[str, Any]],
    title: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that the page shows, as JSON types.

    models: key -> name, "teacher" first. measured: circuit, head_scores and stability of "student" (its base)
    and "teacher". title: task, seed, experiment and the student's label.
    """
    words: dict[int, int] = {}
    shown = {
        key: [_prompt_view(view, words, tokenizer) for view in of_model] for key, of_model in views.items()
    }
    return {
        "title": {**title, "task": TASK_NAMES.get(title["task"], title["task"])},
        "prompts": [_prompt(tokenizer, example) for example in prompts],
        "models": [{"key": key, "name": name} for key, name in models.items()],
        "pairs": [_pair(pair) for pair in pairs],
        "heads": {
            side: {
                _name(head): _facts(head, **measured[side]) for head in sorted({pair[side] for pair in pairs})
            }
            for side in ("student", "teacher")
        },
        "views": shown,
        "words": [tokenizer.decode([token]).strip() or "␣" for token in words],
    }


def render(data: Mapping[str, Any]) -> str:
    """The page as HTML text, with everything inside it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("circuit_distillation.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
    )
    # In a script element only "<" could end it.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return environment.get_template("heads.html.j2").render(data=text, title=data["title"])


def pair_pictures(data: Mapping[str, Any], pairs: Pairs, views: Views) -> dict[str, bytes]:
    """File name -> SVG of each pair on the first prompt: the teacher's head, then the student's by model."""
    prompt, files = data["prompts"][0], {}
    for pair, words in zip(pairs, data["pairs"], strict=True):
        rows = {
            model["name"]: views[model["key"]][0].heads[pair[_side(model["key"])]].attention.numpy()
            for model in data["models"]
        }
        name = f"pair_{words['student']}_{words['teacher']}"
        title = f"Attention of {words['teacher']} of the teacher and {words['student']} of the student"
        drawn = attention_svg(rows, prompt["tokens"], title, f"Prompt: {' '.join(prompt['tokens'])}")
        files[f"{name}.svg"] = drawn.encode()
    return files


def _side(model: str) -> str:
    return "teacher" if model == "teacher" else "student"


def _name(head: Head) -> str:
    return f"L{head[0]}.H{head[1]}"


def _pair(pair: Mapping[str, Any]) -> dict[str, Any]:
    return {**pair, "student": _name(pair["student"]), "teacher": _name(pair["teacher"])}


def _facts(head: Head, circuit: Mapping[str, Any], head_scores: Any, stability: Any) -> dict[str, Any]:
    """Its stages in the circuit, its score in every stage, and how often it enters the circuit."""
    own = head_scores[(head_scores["layer"] == head[0]) & (head_scores["head"] == head[1])]
    rows = stability[(stability["layer"] == head[0]) & (stability["head"] == head[1])]
    return {
        "role": circuit_roles(circuit).get(head, "not in the circuit"),
        "redraws": float(rows.loc[rows["stage"] == ANY, "redraws"].iloc[0]),
        "stages": [
            {"name": stage_name(row["stage"]), "score": row["score"], "stderr": _finite(row["stderr"])}
            for row in own.to_dict("records")
        ],
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _prompt(tokenizer: Any, example: Example) -> dict[str, Any]:
    """Its tokens with the role of each; where roles overlap, the one that is declared last."""
    encoding = tokenizer([example.prompt], return_attention_mask=False).encodings[0]
    roles = [""] * len(encoding.ids)
    for role, (start, end) in example.spans.items():
        for token, (first, last) in enumerate(encoding.offsets):
            if first < end and start < last:
                roles[token] = role
    return {
        "tokens": [tokenizer.decode([token]).strip() or "␣" for token in encoding.ids],
        "roles": roles,
        "answer": example.answer,
        "kind": example.template
        if example.cell == example.template
        else f"{example.template}, {example.cell}",
    }


def _prompt_view(view: PromptView, words: dict[int, int], tokenizer: Any) -> dict[str, Any]:
    return {
        "says": tokenizer.decode([view.predicted_id]).strip(),
        "p": round(view.probability, 4),
        "heads": {_name(head): _head_view(one, words) for head, one in view.heads.items()},
    }


def _head_view(view: HeadView, words: dict[int, int]) -> dict[str, Any]:
    """attention: rows up to each query, in STEPS, base64; top: places in `words`, which grows."""
    top = [[words.setdefault(token, len(words)) for token in row] for row in view.top_ids.tolist()]
    return {
        "attention": _packed(view.attention),
        "top": top,
        "rank": view.answer_rank.tolist(),
        "by_token": [round(value, 3) for value in view.by_token.tolist()],
        "ablated": round(view.ablated, 3),
    }


def _packed(attention: Tensor) -> str:
    lower = attention.numpy()[np.tril_indices(len(attention))]
    return base64.b64encode(np.rint(STEPS * lower).astype(np.uint8).tobytes()).decode()
