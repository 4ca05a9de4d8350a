"""How the mini family learns entity tracking: small scenes first, then larger ones up to a target accuracy.

Base models: *learn* on scenes of two or three boxes with the scaffold; *consolidate* under a strong group
lasso, so that few heads carry the task; *calibrate* with a small learning rate on scenes up to full size,
until the wanted accuracy. Tuned models need no scaffold: *arithmetic*, with small scenes as a rehearsal
(without them 0.01 of 0.76 is left); then a *mixture* with scenes of full size, until the wanted accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.tasks import arithmetic
from circuit_distillation.tasks.corpus import Instruction
from circuit_distillation.tasks.entity_tracking import EntityTracking
from circuit_distillation.training.packed_entity import EntityPacker
from circuit_distillation.training.packed_instructions import instruction_sampler
from circuit_distillation.training.packing import PackedBatch
from circuit_distillation.training.pretraining import Sampler, StopRule, TrainSettings, answer_accuracy
from circuit_distillation.training.recipe import Phase
from circuit_distillation.training.recipe_settings import RecipeSettings, in_domain_prompts

FULL_SIZE = 7  # boxes of the task
SMALL_SIZES = (2, 3)  # boxes of the scenes that the task is first learned on


class EntityRecipe:
    """The recipe of task ``entity``, with the settings `EntityPretraining` or `EntityTuning`."""

    def __init__(self, settings: RecipeSettings) -> None:
        self.settings = settings

    def words(self) -> list[str]:
        """Words of the scenes and of the arithmetic corpus."""
        return [*EntityTracking().vocabulary(), *arithmetic.vocabulary()]

    def pretraining(self, tokenizer: Any, role: str, seed: int) -> list[Phase]:
        """Learn, consolidate, calibrate."""
        s, own = self.settings.common, self.settings.of(role)
        packer = EntityPacker(tokenizer, FULL_SIZE)

        def scenes(largest: int) -> Sampler:
            sizes = range(2, largest + 1)
            return scene_sampler(
                packer, sizes, own.scaffold_layer, lambda k: s.tokens_per_step // packer.packed_length(k)
            )

        at_small_size = accuracy_on(packer, SMALL_SIZES[-1], seed)
        learned = StopRule(at_small_size, s.learned_accuracy, every=25, n_coarse=300, n_final=900)
        at_full_size = accuracy_on(packer, FULL_SIZE, seed)
        calibrated = full_size_stop(at_full_size, own.target_accuracy, s.validation_prompts)
        learning = TrainSettings(own.learning_rate, s.max_learning_steps, s.learning_lasso, seed)
        consolidation = TrainSettings(own.learning_rate, s.consolidation_steps, s.lasso, seed + 1)
        rate, steps = s.calibration_learning_rate, s.max_calibration_steps
        calibration = TrainSettings(rate, steps, s.lasso, seed + 2, warmup_steps=10)
        return [
            Phase("learn", scenes(SMALL_SIZES[-1]), learning, learned),
            Phase("consolidate", scenes(s.consolidation_boxes), consolidation),
            Phase("calibrate", scenes(FULL_SIZE), calibration, calibrated),
        ]

    def tuning(
        self, tokenizer: Any, role: str, seed: int, corpus: Sequence[Instruction], corpus_only: bool
    ) -> list[Phase]:
        """Arithmetic with a rehearsal, then the mixture; with ``corpus_only`` arithmetic and nothing else."""
        s, own = self.settings.common, self.settings.of(role)
        packer = EntityPacker(tokenizer, FULL_SIZE)
        arithmetic_batch = instruction_sampler(tokenizer, corpus, s.corpus_batch)
        steps = s.corpus_only_steps if corpus_only else own.corpus_steps
        settings = TrainSettings(s.corpus_learning_rate, steps, s.corpus_lasso, seed + 3)
        if corpus_only:
            return [Phase("arithmetic", arithmetic_batch, settings)]

        def mixed(share: float, sizes: Sequence[int]) -> Sampler:
            n_prompts = in_domain_prompts(s.corpus_batch, share)
            scenes = scene_sampler(packer, sizes, None, lambda k: int(n_prompts / k))
            return lambda rng: [*arithmetic_batch(rng), *scenes(rng)]

        rate, steps = s.mixture_learning_rate, s.max_mixture_steps
        mixture = TrainSettings(rate, steps, s.lasso, seed + 4, warmup_steps=10)
        at_full_size = accuracy_on(packer, FULL_SIZE, seed)
        reached = full_size_stop(at_full_size, own.target_accuracy, s.validation_prompts)
        return [
            Phase("arithmetic", mixed(s.rehearsal_share, SMALL_SIZES), settings),
            Phase("mixture", mixed(s.in_domain_share, [FULL_SIZE]), mixture, reached),
        ]

    def accuracies(self, model: CausalLM, tokenizer: Any, seed: int) -> dict[str, float]:
        """Accuracy on fresh scenes of full size, as many prompts as decide the stop."""
        packer, n_prompts = EntityPacker(tokenizer, FULL_SIZE), self.settings.common.validation_prompts
        return {"accuracy": accuracy_on(packer, FULL_SIZE, seed + 7)(model, n_prompts)}


def full_size_stop(accuracy: Callable[[CausalLM, int], float], target: float, n_final: int) -> StopRule:
    """Stops close to the target: a look every three steps once it is near."""
    return StopRule(accuracy, target, every=3, n_coarse=700, n_final=n_final, far=0.05)


def scene_sampler(
    packer: EntityPacker, sizes: Sequence[int], scaffold_layer: int | None, n_scenes: Callable[[int], int]
) -> Sampler:
    """One batch a step: at least one and else ``n_scenes(boxes)`` scenes of one size drawn from ``sizes``."""
    choices = np.array(sizes)

    def sample(rng: np.random.Generator) -> list[PackedBatch]:
        k = int(rng.choice(choices))
        objects, letters = packer.random_scenes(rng, max(1, n_scenes(k)), k)
        return [packer.pack(objects, letters, scaffold_layer)]

    return sample


def accuracy_on(packer: EntityPacker, n_boxes: int, seed: int) -> Callable[[CausalLM, int], float]:
    """``accuracy(model, n)`` over the first n prompts of a fixed stream of random scenes."""
    chunk = 50  # scenes a batch

    def accuracy(model: CausalLM, n: int) -> float:
        rng = np.random.default_rng([seed, n_boxes])
        n_batches = -(-n // (chunk * n_boxes))
        batches = [packer.pack(*packer.random_scenes(rng, chunk, n_boxes)) for _ in range(n_batches)]
        return answer_accuracy(model, batches, n)

    return accuracy
