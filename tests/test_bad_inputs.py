"""Bad inputs, each with the one line that it must get: what is wrong, what is allowed, what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from configuration import assert_refused
from kedro.config import OmegaConfigLoader

from circuit_distillation.datasets import validators
from circuit_distillation.hooks.parameters import _read
from circuit_distillation.parameters import ParameterError, validate
from circuit_distillation.tasks.example import Example

PER_SCHEDULE = "must be one of constant_with_warmup, constant, linear, cosine"

# path: where the value is put; a list is reached by its index
PARAMETERS: list[tuple[str, Any, str]] = [
    # the run
    ("tsk", "tom", "unknown parameter `tsk`: did you mean `task`?"),
    ("colour", "red", "unknown parameter `colour`: known here: task, seed, experiment"),
    ("task", "tomm", "one of entity, tom, sally; did you mean `tom`?; change it in conf/"),
    ("task", 3, "`task` = 3: must be one of entity, tom, sally"),
    ("seed", -1, "`seed` = -1: must be a whole number, at least 0"),
    ("seed", "one", "`seed` = 'one': must be a whole number"),
    ("seed", "1", "`seed` = '1': must be a whole number"),
    ("seed", True, "`seed` = True: must be a whole number"),
    ("seed", 1.5, "`seed` = 1.5: must be a whole number"),
    ("seed", 10**12, "at most 1000000000"),
    # names that become folders
    ("experiment", "../../x", "`experiment` = '../../x': must be a name of letters, digits"),
    ("experiment", "/tmp", "`experiment` = '/tmp': must be a name"),
    ("experiment", "", "`experiment` = '': must be a name"),
    ("experiment", "a b", "`experiment` = 'a b': must be a name"),
    ("experiment", "a\nb", "must be a name"),
    ("experiment", "a\x00", "must be a name"),
    ("experiment", ".hidden", "must be a name"),
    ("experiment", "x" * 65, "must be a name of letters, digits, `_` and `-`, at most 64"),
    ("experiment", "$(date)", "must be a name"),
    ("experiment", "{role}", "must be a name"),
    ("experiment", 7, "`experiment` = 7: must be a name"),
    ("data_root", "../elsewhere", "'../elsewhere' leads elsewhere: write the folder without `..` and `~`"),
    ("data_root", "data/../../x", "leads elsewhere"),
    ("data_root", "~/data", "leads elsewhere"),
    ("data_root", "s3://bucket/data", "`data_root` = 's3://bucket/data': must be a folder, of letters"),
    ("data_root", "", "`data_root` = '': must be a folder"),
    ("data_root", "/", "`data_root` = '/': must be a folder"),
    ("data_root", "data*", "must be a folder"),
    ("data_root", "da\nta", "must be a folder"),
    ("family.name", "../mini", "`family.name` = '../mini': must be a name"),
    ("family.roles.small.label", "S\nM", "must be a text of 1 to 40 characters on one line"),
    ("family.roles.small.label", "", "must be a text of 1 to 40 characters on one line"),
    ("family.roles.small.label", "L", "the labels L, M, L must differ"),
    ("family.roles.small.name", "large", "`small.name` must be `small`, the name of its role"),
    ("family.roles.giant", {"name": "giant", "label": "G"}, "unknown parameter `family.roles.giant`: known"),
    # data
    ("data_generation.groups.entity.tran", 3, "`data_generation.groups.entity.tran`: did you mean `train`?"),
    ("data_generation.groups.entity.test", 0, "`data_generation.groups.entity.test` = 0: must be a whole nu"),
    ("data_generation.task_options.entity.n_boxs", 7, "did you mean `n_boxes`?"),
    ("data_generation.task_options.entity.n_boxes", 1, "must be a whole number, at least 2, at most 24"),
    ("data_generation.task_options.tom.instruction", "long", "must be one of full, none"),
    ("data_generation.task_options.tom.templates", "mirorred", "'mirorred' is no mix of templates (no_visib"),
    ("data_generation.corpus.tom.kinds", ["cuont"], "kinds.0` = 'cuont': must be one of opposite, plural"),
    ("data_generation.corpus.tom.kinds", [], "must be a list, at least 1 long or null; change it in conf/"),
    ("data_generation.corpus.tom.kinds", "count", "must be a list"),
    ("data_generation.corpus.entity.kinds", ["mul_long"], "kind `mul_long` needs `max_digits` of at least 2"),
    ("data_generation.corpus.entity.max_digits", 0, "must be a whole number, at least 1, at most 1"),
    ("data_generation.corpus.entity.n_heldout", 3, "must be a whole number, at least 10"),
    # the mini family
    ("pretraining.max_workers", 0, "`pretraining.max_workers` = 0: must be a whole number, at least 1"),
    ("pretraining.entity.comon", {}, "unknown parameter `pretraining.entity.comon`: did you mean `common`?"),
    ("pretraining.entity.small.learning_rate", 0, "must be a number, above 0, at most 1"),
    ("pretraining.entity.small.scaffold_layer", 4, "`small.scaffold_layer` must be below 4, the number of"),
    ("pretraining.entity.common.lasso", -0.1, "must be a number, at least 0"),
    ("pretraining.entity.common.learned_accuracy", 95, "must be a number, at least 0, at most 1"),
    ("pretraining.tom.common.base_templates.nether_sees", 1.0, "did you mean `neither_sees`?"),
    ("pretraining.tom.common.base_templates", {"decoy": 0.0}, "must give at least one template a share abov"),
    ("pretraining.tom.common.min_steps", 1000, "`max_steps` = 900 ends before `min_steps` = 1000"),
    ("teacher_tuning.entity.common.in_domain_share", 0.6, "must be a number, above 0, at most 0.5"),
    ("teacher_tuning.tom.common.in_domain_share", 0, "must be a number, above 0, at most 0.5"),
    ("teacher_tuning.tom.common.corpus_batch", 2, "leave no room for one story of 4 prompts"),
    ("teacher_tuning.tom.large.must_reach_target", "yes", "must be true or false"),
    ("teacher_tuning.entity.large.corpus_stpes", 1, "did you mean `corpus_steps`?"),
    # circuits
    ("circuit_discovery.entity.method", "patching", "must be one of path_patching, attribution"),
    ("circuit_discovery.entity.score", "logprob", "must be one of probability, log_prob; did you mean `log_"),
    ("circuit_discovery.entity.stages", [], "must be a list, at least 1 long; change it in conf/"),
    ("circuit_discovery.entity.stages.1.receivers", ["fetcher"], "has receiver `fetcher`, which is no stage"),
    ("circuit_discovery.entity.stages.1.receiver_input", None, "needs both `receivers` and `receiver_input`"),
    ("circuit_discovery.entity.stages.1.name", "value_fetcher", "stage `value_fetcher` stands twice"),
    ("circuit_discovery.entity.stages.0.sender", "lst", "must be a role: last, query_label"),
    ("circuit_discovery.entity.stages.0.n_heads", 0, "`circuit_discovery.entity.stages.0.n_heads` = 0: must"),
    ("circuit_discovery.entity.n_examples", 100000, "the discovery split has 280 prompts; lower it or raise"),
    ("circuit_discovery.tom.fraction", 1.5, "must be a number, above 0, at most 1"),
    ("evaluation.n_random_circuits", 0, "must be a whole number, at least 1, at most 1000"),
    # mapping and distillation
    ("head_mapping.rule", "closest", "`head_mapping.rule` = 'closest': must be one of nearest, one_to_one"),
    ("head_mapping.fraction.entity", 0.0, "must be a number, above 0, at most 1"),
    ("head_mapping", 3, "`head_mapping` = 3: must be a block of keys"),
    ("distillation.cka_wieght", 1, "`distillation.cka_wieght`: did you mean `cka_weight`?"),
    ("distillation.cka_weight", -1, "`distillation.cka_weight` = -1: must be a number, at least 0"),
    ("distillation.cka_weight", float("nan"), "`distillation.cka_weight` = nan: must be a number"),
    ("distillation.cka_weight", float("inf"), "`distillation.cka_weight` = inf: must be a number"),
    ("distillation.estimator", "best", "must be one of biased, unbiased"),
    ("distillation.schedule", "linaer", PER_SCHEDULE),
    ("distillation.rows", "first", "must be one of last, answer, all"),
    ("distillation.patience", 0, "must be a whole number, at least 1 or null"),
    ("distillation.n_train", 100000, "the train split has 1792 prompts; lower it or raise `data_generation."),
    ("training_seed", 9, "`training_seed` = 9: each takes 256 prompts of its own, the train split has 1792"),
    ("distillation.n_train", 32, "a step takes `batch_size` x `bank_batches` = 64 prompts, `n_train` = 32 h"),
    ("distillation.extra_arms", ["full_lk"], "did you mean `full_kl`?; change it in conf/"),
    ("distillation.extra_arms", ["full_kl", "full_kl"], "`extra_arms` names an arm twice"),
    ("arms", {"full_ce": {"epochs": 3}}, "unknown parameter `arms`"),
    ("search.trials.full_cee", [], "did you mean `full_ce`?"),
]


@pytest.mark.parametrize(("path", "value", "message"), PARAMETERS, ids=lambda part: repr(part)[:40])
def test_a_bad_parameter_gets_one_line(shipped, path, value, message):
    assert_refused(shipped, path, value, message)


def test_a_search_needs_a_draw_of_its_own(shipped):
    shipped["search"]["training_seed"] = 7
    with pytest.raises(ValueError, match=r"`search.training_seed` = 7: each takes 256 prompts of its own"):
        validate(shipped).check_search()


EXAMPLES = [
    Example("e1", "g", "tom", "t", "own", "p", "tea", ("tea", "milk"), {}),
    Example("e2", "g", "tom", "t", "own", "p", "milk", ("tea", "milk"), {}),
]
CORPUS = pd.DataFrame({"kind": ["add"], "prompt": ["1 + 1"], "response": [" 2"], "content": ["1 + 1"]})
GRID = pd.DataFrame([(layer, head) for layer in range(2) for head in range(2)], columns=["layer", "head"])
SCORES = GRID.assign(stage="value_fetcher", score=-0.1, stderr=0.01)
STEADY = GRID.assign(
    stage="any", chosen=True, in_circuit=True, redraws=1.0, limits=0.5, templates=float("nan")
)
EFFECTS = pd.concat([GRID[:1].assign(layer=-1, head=-1), GRID], ignore_index=True).assign(
    example_id="e1", group_id="g", log_prob=-1.0, correct=True
)
BY_PROMPT = SCORES.assign(example_id="e1", group_id="g", template="t")
FEATURES = GRID.assign(example_id="e1", z=[np.ones(3)] * 4)
CIRCUIT = {
    "heads": [[0, 1], [1, 0]], "stages": {"a": [[0, 1]]}, "n_heads_total": 4, "model_hash": "h", "role": "s",
}  # fmt: skip
PAIR = {"student": [0, 1], "teacher": [1, 1]}
MAPPING = {
    "role": "small", "student_heads": [[0, 1]], "pairs": [PAIR], "random_pairs": [PAIR], "n_pairs": 1,
    "distinct_teacher_heads": 1, "hashes": {"student": "a", "teacher": "b"},
}  # fmt: skip
HEADS = {"role": "small", "student_heads": [[0, 1]], "n_student_heads_total": 4, "model_hash": "a"}
CONTROLS = {"role": "small", "pairs": [PAIR], "hashes": {"student": "a", "teacher": "b"}}
SHARES = dict.fromkeys(("ancestor_share", "chance_ancestor", "stage_share", "chance_stage"), [0.5, np.nan])
SCORED = pd.DataFrame({"rule": ["cka", "random"], "label": "A", "n_heads": 4, "n_pairs": [4, 3], **SHARES})
HISTORY = pd.DataFrame({"step": [1, 2], "loss": [0.5, 0.4], "seconds": [0.1, 0.2]})
PREDICTIONS = pd.DataFrame(
    {
        "example_id": ["e1", "e2"], "group_id": "g", "cell": "own", "answer": ["tea", "milk"],
        "full_predicted": "tea", "full_correct": [True, False],
    }
)  # fmt: skip


def put(frame: pd.DataFrame, column: str, row: int, value: Any) -> pd.DataFrame:
    """A copy of the frame with one cell changed."""
    values = list(frame[column])
    values[row] = value
    return frame.assign(**{column: values})


ARTIFACTS: list[tuple[Any, Any, str]] = [
    (validators.examples, [], "there are no examples"),
    (validators.examples, EXAMPLES[:1] * 2, "example e1 is there twice"),
    (
        validators.examples,
        [replace(EXAMPLES[0], answer="beer")],
        "the answer of example e1 is not amo",
    ),
    (validators.corpus, CORPUS.drop(columns="kind"), "column kind is missing"),
    (validators.corpus, CORPUS.assign(response=""), "row 0 has an empty response"),
    (validators.head_scores, SCORES[:-1], "there are 3 rows, 2 layers of 2 heads need 4"),
    (validators.head_scores, put(SCORES, "head", 0, 1), "row 1 repeats layer, head, stage"),
    (validators.head_scores, put(SCORES, "layer", 0, -1), "2 layers of 2 heads need 4"),
    (validators.head_scores, put(SCORES, "score", 2, float("nan")), "score of row 2 is not finite"),
    (validators.ablation_effects, EFFECTS[:-1], "there are 3 rows"),
    (validators.ablation_effects, put(EFFECTS, "log_prob", 1, 0.5), "log_prob reaches 0.5, which is no log-"),
    (validators.ablation_effects, put(EFFECTS, "log_prob", 1, float("-inf")), "log_prob of row 1 is not fin"),
    (validators.head_features, put(FEATURES, "z", 0, np.ones(2)), "head outputs have 2 different lengths"),
    (validators.head_features, put(FEATURES, "z", 0, np.full(3, np.nan)), "head outputs are not all finite"),
    (validators.attention_profiles, {}, "there are no layouts"),
    (validators.attention_profiles, {"a": torch.ones(1, 2, 3)}, "a is of shape (1, 2, 3), not [layer, head,"),
    (validators.attention_profiles, {"a": torch.ones(1, 2, 3, 3)}, "the rows of a are not distributions ove"),
    (validators.circuit, [], "this is no record but a list"),
    (validators.circuit, {"heads": []}, "entry stages, n_heads_total, model_hash, role is missing"),
    (validators.circuit, CIRCUIT | {"heads": [[0, 1], [0, 1]]}, "heads name a head twice"),
    (validators.circuit, CIRCUIT | {"heads": [[0, -1]]}, "heads hold [0, -1], which is no (layer, head)"),
    (validators.circuit, CIRCUIT | {"heads": ["0.1"]}, "heads hold '0.1', which is no (layer, head)"),
    (validators.circuit, CIRCUIT | {"n_heads_total": 1}, "the circuit has 2 heads, the model 1"),
    (validators.circuit, CIRCUIT | {"stages": {"a": [[1, 1]]}}, "head (1, 1) of stage a is not in the circu"),
    (validators.heads, HEADS | {"student_heads": [[0, 1], [0, 1]]}, "student_heads name a head twice"),
    (
        validators.heads,
        {"role": "small"},
        "entry student_heads, n_student_heads_total, model_hash is missing",
    ),
    (
        validators.pairs,
        CONTROLS | {"pairs": [PAIR | {"teacher": [1]}]},
        "hold [1], which is no (layer, head)",
    ),
    (validators.pairs, CONTROLS | {"hashes": {}}, "hashes must name the student's and the teacher's model"),
    (validators.mapping, MAPPING | {"hashes": {}}, "hashes must name the student's and the teacher's model"),
    (validators.mapping, MAPPING | {"n_pairs": 2}, "n_pairs and distinct_teacher_heads are 2 and 1, the pai"),
    (validators.mapping, MAPPING | {"student_heads": [[5, 5]]}, "pairs hold student head [0, 1], which is n"),
    (validators.mapping, MAPPING | {"pairs": [PAIR | {"teacher": [0.5, 1]}]}, "hold [0.5, 1], which is no ("),
    (validators.rule_scores, SCORED.assign(rule="cka"), "row 1 repeats rule"),
    (validators.rule_scores, SCORED.assign(stage_share=1.5), "stage_share holds values that are no shares"),
    (validators.stability, STEADY.assign(limits=1.5), "limits holds values that are no shares"),
    (validators.prompt_scores, BY_PROMPT[1:], "there are 3 rows, 2 layers of 2 heads need 4"),
    (validators.history, HISTORY[::-1], "the steps of the history do not increase"),
    (validators.history, put(HISTORY, "loss", 1, float("inf")), "loss of row 1 is not finite"),
    (validators.predictions, PREDICTIONS.drop(columns="answer"), "column answer is missing"),
    (validators.predictions, PREDICTIONS.assign(example_id="e1"), "row 1 repeats example_id"),
    (validators.predictions, PREDICTIONS.assign(full_correct=1), "full_correct must be true or false, it is"),
]
SOUND = [
    (validators.examples, EXAMPLES), (validators.corpus, CORPUS), (validators.head_scores, SCORES),
    (validators.ablation_effects, EFFECTS), (validators.head_features, FEATURES),
    (validators.attention_profiles, {"a": torch.eye(3)[None, None]}),
    (validators.circuit, CIRCUIT), (validators.mapping, MAPPING),
    (validators.heads, HEADS), (validators.pairs, CONTROLS),
    (validators.stability, STEADY), (validators.prompt_scores, BY_PROMPT),
    (validators.rule_scores, SCORED), (validators.history, HISTORY), (validators.predictions, PREDICTIONS),
]  # fmt: skip


@pytest.mark.parametrize(("check", "artifact"), SOUND, ids=lambda part: getattr(part, "__name__", "artifact"))
def test_a_sound_artifact_passes(check, artifact):
    check(artifact)


@pytest.mark.parametrize(
    ("check", "artifact", "message"), ARTIFACTS, ids=[message[:40] for *_, message in ARTIFACTS]
)
def test_a_bad_artifact_gets_one_line(check, artifact, message):
    with pytest.raises(ValueError) as caught:
        check(artifact)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: [entity", "conf/ cannot be read: "),
        ("task: entity\ntask: tom\n", "conf/ cannot be read: "),
        ("task: ${nowhere}\n", "conf/ cannot be read: "),
    ],
)
def test_a_broken_parameter_file_gets_one_line(tmp_path, text, message):
    (tmp_path / "base").mkdir()
    (tmp_path / "local").mkdir()
    (tmp_path / "base" / "parameters.yml").write_text(text)
    loader = OmegaConfigLoader(str(tmp_path), base_env="base", default_run_env="local")
    with pytest.raises(ParameterError) as caught:
        _read(loader, "parameters")
    assert message in str(caught.value) and "\n" not in str(caught.value)
