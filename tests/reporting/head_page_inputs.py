"""A page of heads of random models, for the tests of its text and of what a browser makes of it."""

from __future__ import annotations

from naive.prompts import tiny_checkpoint
from synthetic import scores

from circuit_distillation.circuits.head_views import prompt_views
from circuit_distillation.reporting import head_page
from circuit_distillation.tasks import get_task

CIRCUIT = {"heads": [[1, 2]], "stages": {"value_fetcher": [[1, 2]]}}
MAPPING = {
    "rule": "nearest",
    "pairs": [{"student": [1, 2], "teacher": [1, 2], "student_impact": 0.3, "teacher_impact": -0.1}],
}
BY_FUNCTION = {
    "rule": "attention_profile",
    "pairs": [{"student": [1, 2], "teacher": [1, 2]}, {"student": [0, 1], "teacher": [1, 3]}],
}
MODELS = {"teacher": "GOAT-L", "base": "Base-S", "circuit_ce": "CE, circuit distilled"}


def head_page_inputs(task_name: str = "entity"):
    """(data, pairs, views, prompts) of a teacher, a base and an arm."""
    task = get_task(task_name)
    prompts, means = head_page.choose_prompts(task.generate(8, 0), 2), task.generate(16, 1)
    pairs = head_page.shown_pairs(MAPPING, BY_FUNCTION, [])
    checkpoints = {key: tiny_checkpoint(task, seed=seed) for seed, key in enumerate(MODELS)}
    views = {
        key: prompt_views(one, prompts, means, [(1, 2), (1, 3), (0, 1)]) for key, one in checkpoints.items()
    }
    measured = {
        "circuit": CIRCUIT,
        "head_scores": scores(2, 4, ("value_fetcher", "reader")),
        "stability": scores(2, 4, ("any",)).assign(redraws=0.75),
    }
    tokenizer = checkpoints["base"].tokenizer
    title = {"task": task_name, "seed": 0, "experiment": "paper", "student": "S"}
    data = head_page.viewer_data(
        tokenizer, prompts, pairs, MODELS, views, {"student": measured, "teacher": measured}, title
    )
    return data, pairs, views, prompts
