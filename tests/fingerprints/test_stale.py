"""What a run for what is missing would execute after each kind of change, by the names of the nodes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from circuit_distillation import grid
from circuit_distillation.fingerprints import code
from circuit_distillation.fingerprints.record import FOLDER, differences
from circuit_distillation.status import accept_stored

PACKAGE = Path(code.__file__).parents[1]
FACTS = "collect_facts"  # lists all parameters
MAPPED = ["small.map.map_heads", "medium.map.map_heads"]
ALIGNED = ("circuit_align_cka", "circuit_ce_align_cka")
AT_PAIRS = (*ALIGNED, "circuit_ce_rand_cka")


def trained(project, *arms: str) -> list[str]:
    """Nodes that train, of all arms or of those named."""
    nodes = project.nodes(".train_student")
    return [name for name in nodes if not arms or name.split(".")[1] in arms]


def predicted(project) -> list[str]:
    return project.nodes(".predict", "references.predict_base", ".predict_tuned", ".predict_tuned_corpus")


def path_of(project, name: str) -> Path:
    return Path(project.catalog.get(name)._filepath)


def test_nothing_runs_again(project):
    assert project().running() == set()


def test_without_anything_all_runs(project, tmp_path):
    fresh = project(data_root=str(tmp_path / "elsewhere"))
    assert fresh.running() == {node.name for node in fresh.pipeline.nodes}


@pytest.mark.parametrize(
    "speed",
    [
        {"distillation": {"processes": 2, "checkpoint_every": 3, "gradient_checkpointing": True}},
        {"pretraining": {"max_workers": 2}, "teacher_tuning": {"max_workers": 2}},
        {"circuit_discovery": {"processes": 2}},
    ],
)
def test_a_parameter_of_speed_changes_nothing(project, speed):
    assert project(**speed).running() == set()


def test_a_parameter_of_another_task_changes_nothing(project):
    assert project(circuit_discovery={"entity": {"n_examples": 21}}).running() == set()


def test_a_parameter_rebuilds_the_nodes_that_read_it_and_what_follows(project):
    changed = project(circuit_discovery={"tom": {"fraction": 0.5}})
    found = changed.nodes(".discover_circuit")
    assert len(found) == 6 and changed.running() == changed.below(*found, FACTS)
    assert "pretrain_bases" not in changed.running() and "tune_models" not in changed.running()
    changed = project(head_mapping={"rule": "profile"})
    assert changed.running() == changed.below(*MAPPED, FACTS)
    assert set(trained(changed)) & changed.running() == set(trained(changed, *ALIGNED))
    assert "cache_teacher" not in changed.running()


def test_alignment_concerns_the_arms_that_align_alone(project):
    for setting in ({"cka_weight": 9.0}, {"similarity": "procrustes"}, {"estimator": "unbiased"}):
        changed = project(distillation=setting)
        assert changed.running() == changed.below(*trained(changed, *AT_PAIRS), FACTS)
        assert len(trained(changed, *AT_PAIRS)) == 6 and len(trained(changed)) == 10
    changed = project(distillation={"rows": "all"})
    found = changed.below(*trained(changed, *AT_PAIRS), FACTS)
    assert changed.running() == found | {"cache_teacher"}


@pytest.mark.parametrize(
    ("given", "arms"),
    [
        ({"experiment": "lambda5", "distillation": {"cka_weight": 5}}, AT_PAIRS),
        ({"experiment": "profiles", "head_mapping": {"rule": "profile"}}, ALIGNED),
    ],
)
def test_an_experiment_trains_the_arms_that_it_changes_and_takes_the_others(project, given, arms):
    other = project(**given)
    running = set(trained(other)) & other.running()
    assert running == set(trained(other, *arms)) and len(running) == 2 * len(arms)
    assert set(trained(other)) - running <= other.taken()


def test_a_parameter_of_evaluation_trains_nothing(project):
    changed = project(evaluation={"n_random_circuits_row": 4})
    assert changed.running() == changed.below(*predicted(changed), FACTS)
    assert not set(trained(changed)) & changed.running()


def test_what_was_chosen_for_an_arm_is_of_that_arm_alone(project):
    chosen = {"chosen": {"mini": {"tom": {"arms": {"circuit_ce": {"learning_rate_heads": 0.5}}}}}}
    changed = project(**chosen)
    of_arm = [f"{role}.circuit_ce.train_student" for role in grid.students()]
    assert changed.running() == changed.below(*of_arm, FACTS)


def test_what_was_chosen_for_an_arm_is_also_of_the_arm_that_takes_its_settings(project):
    name = "random_heads_ce_align_cka"
    extra = {"distillation": {"extra_arms": [name]}}
    chosen = {"mini": {"tom": {"arms": {"circuit_ce_align_cka": {"learning_rate_heads": 0.5}}}}}
    made = []
    for given in (extra, extra | {"chosen": chosen}):
        found = project(**given)
        node = next(node for node in found.pipeline.nodes if node.name == f"small.{name}.train_student")
        made.append(found.planner().made(node))
    assert list(differences(*made)) == [f"arms.{name}.learning_rate 0.0003 -> 0.5"]


def test_a_label_concerns_tables_alone(project):
    changed = project(family={"roles": {"small": {"label": "Small"}}})
    assert changed.running() == {*(FACTS, "draw_figures", "build_tables", "tabulate_matching", "write_page")}


def test_an_added_arm_is_trained_and_no_other(project):
    changed = project(distillation={"extra_arms": ["layer_cka", "full_kl"]})
    added = [f"{role}.{arm}.train_student" for role in grid.students() for arm in ("layer_cka", "full_kl")]
    assert set(trained(changed)) & changed.running() == set(added)
    assert "label_prompts_with_logits" in changed.running() and "label_prompts" not in changed.running()


@pytest.fixture
def edited(monkeypatch, tmp_path):
    """edited(file, old, new): the library as if that text of a file were another."""
    root = tmp_path / "package"
    shutil.copytree(PACKAGE, root, ignore=shutil.ignore_patterns("__pycache__"))

    def edit(file: str, old: str, new: str) -> None:
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new, 1))
        monkeypatch.setattr(code, "ROOT", root)

    return edit


def test_a_change_of_the_library_rebuilds_what_is_made_with_it(project, edited):
    edited("similarity/procrustes.py", "return ", "return 2 * ")
    changed = project()
    assert changed.running() == changed.below(*trained(changed), "tabulate_matching")


def test_a_change_of_reporting_trains_and_measures_nothing(project, edited):
    edited("reporting/tables.py", "def ", "def _added() -> int:\n    return 1\n\n\ndef ")
    assert project().running() == {"build_tables", "tabulate_matching", "write_page"}


def test_a_change_of_a_template_rebuilds_what_is_written_with_it(project, edited):
    edited("reporting/page.html.j2", "<body", "<body lang='en'")
    assert project().running() == {"write_page"}


def test_a_change_of_a_node_rebuilds_its_own_outputs(project, edited):
    edited("pipelines/distillation/nodes.py", "check_heads(checkpoint.model, kept)", "print(kept)")
    changed = project()
    assert changed.running() == changed.below(*predicted(changed))


def test_words_about_code_change_nothing(project, edited):
    edited("similarity/cka.py", '"""', '"""Said otherwise. ')
    edited("training/losses.py", "\ndef ", "\n# a comment\ndef ")
    assert project().running() == set()


@pytest.mark.usefixtures("restored")
def test_another_content_of_an_input_rebuilds_what_reads_it(project):
    changed = project()
    path = path_of(changed, "examples.mapping")
    path.write_text('"put here by hand"')
    effects = changed.nodes(".measure_ablation", ".profile_attention")
    assert len(effects) == 6 and changed.running() == changed.below(*effects)
    assert "generate_examples" not in changed.running()


@pytest.mark.usefixtures("restored")
def test_a_deleted_file_is_made_again_with_what_follows_and_nothing_else(project):
    changed = project()
    path_of(changed, "small.mapping").unlink()
    assert changed.running() == changed.below("small.map.map_heads")
    assert "small.circuit_ce.train_student" not in changed.running()
    assert (
        not {*changed.nodes(".discover_circuit"), "medium.map.map_heads", "cache_teacher"} & changed.running()
    )
    changed = project()
    shutil.rmtree(path_of(changed, "small.full_ce.student"))
    assert "small.full_ce.train_student" in changed.running()
    assert "medium.full_ce.train_student" not in changed.running()


@pytest.mark.usefixtures("restored")
def test_a_cache_is_filled_for_those_who_need_it_alone(project):
    changed = project()
    for cache in ("teacher_signals.task", "teacher_labels.task"):
        path_of(changed, cache).unlink()
    assert changed.running() == set()
    shutil.rmtree(path_of(changed, "small.full_ce.student"))
    running = changed.running()
    assert {"label_prompts", "small.full_ce.train_student"} <= running
    assert not {"cache_teacher", "small.circuit_ce.train_student"} & running


def test_an_experiment_makes_what_its_parameters_change_and_takes_the_rest(project):
    other = project(experiment="lambda05", distillation={"cka_weight": 0.5})
    logged = other.nodes(".track", ".track_base", ".track_tuned", ".track_tuned_corpus")  # by experiment
    changed = other.below(*trained(other, *AT_PAIRS), "collect_rule_scores")
    assert other.running() == changed | {FACTS, *logged}
    kept = trained(other, "full_ce", "circuit_ce")
    assert {*MAPPED, *kept, "small.references.predict_base"} <= other.taken()
    assert project().running() == set() == project().taken()


@pytest.mark.usefixtures("restored")
def test_the_tables_and_the_page_are_of_the_experiment_that_made_them_last(project):
    other = project(experiment="lambda05", distillation={"cka_weight": 0.5})
    other.store()
    assert other.running() == set()
    of_one_experiment = {"build_tables", "tabulate_matching", "write_page"}
    assert project().running() == of_one_experiment
    project().store(*of_one_experiment)
    assert project().running() == set()
    assert other.running() == of_one_experiment


@pytest.mark.usefixtures("restored")
def test_a_teacher_cache_of_another_experiment_is_filled_anew_and_harms_none(project):
    other = project(experiment="few", distillation={"n_train": 32})
    caches = {"cache_teacher", "label_prompts"}
    assert caches <= other.running()
    other.store(*caches, content="of few")
    assert not caches & other.running()
    assert project().running() == set()


def test_a_preset_is_an_experiment(project):
    printed = project(experiment="as_printed")
    full = set(trained(printed, "full_ce"))  # needs neither heads nor pairs
    assert {*MAPPED, *trained(printed)} - full <= printed.running() and full <= printed.taken()
    assert not set(printed.nodes(".discover_circuit")) & printed.running()


def test_a_training_seed_shares_all_but_students(project):
    other = project(
        training_seed=1, data_generation={"groups": {"tom": {"train": 48}}}, distillation={"n_train": 64}
    )
    cells = [f"{role}.{arm}" for role, arm in grid.cells()]
    own = {f"{cell}.{what}" for cell in cells for what in ("train_student", "predict", "track")}
    running = other.running()
    assert own <= running and {"cache_teacher", "label_prompts"} <= running
    assert not {*MAPPED, "tune_models", "generate_examples", "small.references.predict_base"} & running
    assert project().running() == set()


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("given", [{"seed": 1}, {"task": "entity"}])
def test_another_seed_or_task_is_made_whole_beside_the_first(project, given):
    other = project(**given)
    assert other.running() == {node.name for node in other.pipeline.nodes}
    other.store()
    assert other.running() == set() and project().running() == set()


def test_an_environment_with_other_parameters_is_noticed(project):
    running = project(env="local").running()
    assert {"generate_examples", "pretrain_bases", "tune_models"} <= running


@pytest.mark.usefixtures("restored")
def test_what_has_no_fingerprint_is_taken_as_it_is(project):
    old, caches = project(distillation={"cka_weight": 9.0}), ("cache_teacher", "label_prompts")
    for folder in Path(old.parameters["data_root"]).rglob(FOLDER):
        shutil.rmtree(folder)
    assert old.running() == set()
    verdicts = old.planner().verdicts()
    assert {verdict.state for name, verdict in verdicts.items() if name not in caches} == {"taken as is"}


@pytest.mark.usefixtures("restored")
def test_what_has_no_fingerprint_follows_an_input_that_was_made_after_it(project):
    old = project()
    for folder in Path(old.parameters["data_root"]).rglob(FOLDER):
        shutil.rmtree(folder)
    old.store(*MAPPED, content="made again")
    assert set(trained(old, *ALIGNED)) <= old.running()
    assert (
        not {*MAPPED, *trained(old, "full_ce", "circuit_ce"), *old.nodes(".discover_circuit")} & old.running()
    )


@pytest.mark.usefixtures("restored")
def test_a_run_killed_halfway_goes_on_with_what_follows(project):
    changed = project(head_mapping={"rule": "profile"})
    changed.store("small.map.map_heads", content="by profile")
    assert changed.running() == changed.below("medium.map.map_heads", FACTS, *_arms_of(changed, "small"))


def _arms_of(project, role: str) -> list[str]:
    readers = project.pipeline.only_nodes_with_inputs(f"{role}.mapping").nodes
    return [node.name for node in readers if node.name != FACTS]


@pytest.mark.usefixtures("restored")
def test_reasons_are_a_few_words(project):
    changed = project(head_mapping={"rule": "profile"})
    shutil.rmtree(path_of(changed, "small.full_ce.student"))
    verdicts = changed.planner().verdicts()
    assert verdicts["small.map.map_heads"][:2] == ("stale", ("mapping.rule nearest -> profile",))
    assert verdicts["medium.circuit_align_cka.train_student"][:2] == ("follows", ("from medium.mapping",))
    assert verdicts["medium.full_ce.train_student"][:2] == ("fresh", ())
    assert verdicts["small.full_ce.train_student"][1] == ("small.full_ce.student is missing",)


@pytest.mark.usefixtures("restored")
def test_what_is_stored_can_be_accepted_as_it_is(project):
    changed = project(head_mapping={"rule": "profile"})
    path_of(changed, "small.full_ce.predictions").unlink()
    planner = changed.planner()
    assert accept_stored(planner) > 100
    assert changed.running() == changed.below("small.full_ce.predict")
    assert set(MAPPED) <= project().running()
