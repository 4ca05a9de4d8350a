"""Work out the settings of each arm and of the mapping before any work, from parameters of different rank.

The rank, lowest first: the files, the preset of the experiment, what an arm differs in by definition, what
the search chose, the command line. The first two are merged in the parameters already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from circuit_distillation.arms import ARMS, REFERENCES, Arm
from circuit_distillation.mapping.match import RULES
from circuit_distillation.mapping.settings import MappingSettings
from circuit_distillation.parameters.run import Parameters
from circuit_distillation.parameters.study import TaskChoice, given
from circuit_distillation.study.names import REGIMES
from circuit_distillation.training.arm_settings import arm_settings
from circuit_distillation.training.distillation_settings import DistillationSettings
from circuit_distillation.training.draws import order_seed
from circuit_distillation.training.rows import ACTING

RESOLVED = ("arms", "mapping", "function_mapping", "names", "given")


def resolve(parameters: Parameters, command: Mapping[str, Any]) -> dict[str, Any]:
    """`arms`, the settings of every arm by name, and `mapping`, those of equations 3 to 5, as plain values.

    `function_mapping`: those of the mapping by function, which differ in the rule. `names` are those of arms
    and other models, for nodes that write them down. `command` holds the parameters that the command line
    gives, as nested blocks.
    """
    arms = {name: settings_of_arm(parameters, arm, name, command) for name, arm in ARMS.items()}
    return {
        "arms": {name: settings.model_dump() for name, settings in arms.items()},
        "mapping": settings_of_mapping(parameters, command, parameters.head_mapping.rule).model_dump(),
        "function_mapping": settings_of_mapping(
            parameters, command, parameters.head_mapping.function_rule
        ).model_dump(),
        "names": {name: name for name in (*ARMS, *REFERENCES, *REGIMES)},
    }


def settings_of_arm(
    parameters: Parameters, arm: Arm, name: str, command: Mapping[str, Any]
) -> DistillationSettings:
    """All that an arm trains with."""
    choice = _choice(parameters)
    own = choice.arms.get(arm.settings_of or name)
    chosen = given(choice.shared) | (given(own) if own else {})
    values = parameters.distillation.model_dump() | dict(arm.own) | chosen | _by_hand(command, "distillation")
    settings = arm_settings(arm, values, order_seed(parameters.seed, parameters.training_seed))
    if settings.rows == ACTING and (arm.data == "corpus" or arm.sites == "layers"):
        settings = _at_last_token(settings)
    settings.steps(parameters.distillation.n_train)  # refuses a batch that the search chose for more prompts
    n_processes = parameters.distillation.processes
    if settings.batch_size % n_processes:
        raise ValueError(
            f"`distillation.processes` = {n_processes} do not share the batch of {settings.batch_size} of "
            f"{name} evenly: set `distillation.batch_size` to a multiple"
        )
    return settings


def _at_last_token(settings: DistillationSettings) -> DistillationSettings:
    """For arms without tokens where a head acts: of examples of a corpus, and of whole layers."""
    assert settings.alignment is not None, "only arms that align have rows"
    values = settings.alignment.model_dump() | {"rows": "last"}
    return DistillationSettings(**settings.model_dump() | {"alignment": values})


def settings_of_mapping(parameters: Parameters, command: Mapping[str, Any], rule: str) -> MappingSettings:
    """The choices of equations 3 to 5 with the share of heads of this task, and with a matching rule.

    A limit that the rule does not have stays at its default, so that changing it remakes no other mapping.
    """
    values = parameters.head_mapping.model_dump(exclude={"function_rule"}) | {"rule": rule}
    if not RULES[rule].limited:
        del values["max_distance"]
    fractions = _by_hand(command, "head_mapping").get("fraction") or {}
    shares = values["fraction"] | given(_choice(parameters).shared)
    share = fractions.get(parameters.task, shares.get("fraction", shares[parameters.task]))
    return MappingSettings(**values | {"fraction": share, "seed": parameters.seed})


def present_roles(family: Mapping[str, Any]) -> dict[str, Any]:
    """The plain block of a family without roles that are null."""
    of_roles = {name: family.get(name) or {} for name in ("roles", "models", "instruct")}
    named = {
        name: {role: setting for role, setting in block.items() if setting is not None}
        for name, block in of_roles.items()
    }
    return {name: named.get(name) or value for name, value in family.items()}


def unresolved(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as they were before."""
    return {name: value for name, value in parameters.items() if name not in RESOLVED}


def _choice(parameters: Parameters) -> TaskChoice:
    return parameters.chosen.get(parameters.family.name, {}).get(parameters.task, TaskChoice())


def _by_hand(command: Mapping[str, Any], block: str) -> dict[str, Any]:
    return dict(command.get(block) or {})
