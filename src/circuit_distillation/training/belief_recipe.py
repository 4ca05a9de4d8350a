"""How the mini family learns theory of mind: the published stories first, then every visibility in a tuning
mixture.

Base models see the two explicit templates of CausalToM only (the second character never sees the first, the
sentences stand in one order) until they have learned these. Place then tells whose sight a sentence is about,
and without the ``observer`` label that is what the models read: they fail where the second character sees or
the order is swapped, however long they are trained. Tuned models: instructions, and at most half stories of
every visibility and order, with the ``observer`` label.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.tasks import instructions
from circuit_distillation.tasks.corpus import Instruction
from circuit_distillation.tasks.theory_of_mind import TheoryOfMind
from circuit_distillation.tasks.visibility import MIXES
from circuit_distillation.training.belief_layout import CELLS, QUESTIONS
from circuit_distillation.training.packed_beliefs import SCAFFOLD, BeliefPacker, belief_sampler
from circuit_distillation.training.packed_instructions import instruction_sampler
from circuit_distillation.training.packing import PackedBatch, target_results
from circuit_distillation.training.pretraining import StopRule, TrainSettings
from circuit_distillation.training.recipe import Phase
from circuit_distillation.training.recipe_settings import RecipeSettings, in_domain_prompts

TEST_TEMPLATES = MIXES["explicit"]  # the task's default mix
BASE_SCAFFOLD = tuple(name for name in SCAFFOLD if name != "observer")


class BeliefRecipe:
    """The recipe of task ``tom``, with the settings `BeliefPretraining` or `BeliefTuning`."""

    def __init__(self, settings: RecipeSettings) -> None:
        self.settings = settings
        self.task = TheoryOfMind("all", instruction="none")

    def words(self) -> list[str]:
        """Words of the stories and of the instruction corpus."""
        return [*self.task.vocabulary(), *instructions.vocabulary()]

    def pretraining(self, tokenizer: Any, role: str, seed: int) -> list[Phase]:
        """*Learn* every cell of the base templates; *consolidate* where few heads must carry that."""
        s, own = self.settings.common, self.settings.of(role)
        packer = BeliefPacker(self.task, tokenizer, s.base_templates, BASE_SCAFFOLD)
        learned = StopRule(
            worst_cell_on(BeliefPacker(self.task, tokenizer, s.base_templates), seed),
            s.learned_accuracy,
            every=20,
            first_step=s.min_steps,
            n_coarse=400,
            n_final=s.validation_prompts,
            far=0.2,
        )
        stories = belief_sampler(packer, s.stories_per_step)
        learning = TrainSettings(
            own.learning_rate,
            s.max_steps,
            s.lasso,
            seed,
            log_lasso=own.log_lasso,
            constant_steps=s.constant_steps,
        )
        phases = [Phase("learn", stories, learning, learned)]
        if own.consolidation_steps:
            consolidation = replace(
                learning,
                learning_rate=own.consolidation_learning_rate,
                max_steps=own.consolidation_steps,
                lasso=s.consolidation_lasso,
                seed=seed + 1,
                constant_steps=max(1, own.consolidation_steps // 2),
                warmup_steps=10,
            )
            phases.append(Phase("consolidate", stories, consolidation))
        return phases

    def tuning(
        self, tokenizer: Any, role: str, seed: int, corpus: Sequence[Instruction], corpus_only: bool
    ) -> list[Phase]:
        """Instructions and stories in one mixture; with ``corpus_only`` instructions alone."""
        s, own = self.settings.common, self.settings.of(role)
        instruction_batch = instruction_sampler(tokenizer, corpus, s.corpus_batch, s.response_weight)
        if corpus_only:
            settings = TrainSettings(own.learning_rate, s.corpus_only_steps, own.lasso, seed + 3)
            return [Phase("instructions", instruction_batch, settings)]
        packer = BeliefPacker(self.task, tokenizer, s.tuning_templates, SCAFFOLD)
        n_stories = int(in_domain_prompts(s.corpus_batch, s.in_domain_share) / len(QUESTIONS))
        belief_batch = belief_sampler(packer, n_stories)

        def mixture(rng: np.random.Generator) -> list[PackedBatch]:
            return [*instruction_batch(rng), *belief_batch(rng)]

        reached = StopRule(
            worst_cell_on(BeliefPacker(self.task, tokenizer, equal_shares(TEST_TEMPLATES)), seed),
            own.target_accuracy,
            every=20,
            first_step=s.min_steps,
            n_coarse=400,
            n_final=s.validation_prompts,
            far=0.2,
            required=own.must_reach_target,
        )
        rate, steps = own.learning_rate, own.max_steps
        settings = TrainSettings(rate, steps, own.lasso, seed + 4, constant_steps=s.constant_steps)
        return [Phase("mixture", mixture, settings, reached)]

    def accuracies(self, model: CausalLM, tokenizer: Any, seed: int) -> dict[str, float]:
        """Accuracy on fresh stories of the test templates: by template and cell, by cell, and over the cells.

        90 stories of each template; fewer where the parameters ask for few validation prompts.
        """
        n_stories = min(90, max(1, self.settings.common.validation_prompts // 10))
        scores: dict[str, float] = {}
        of_cell: dict[str, list[float]] = {cell: [] for cell in CELLS}
        for template in TEST_TEMPLATES:
            packer = BeliefPacker(self.task, tokenizer, {template: 1.0})
            for cell, accuracy in cell_accuracies(model, packer, n_stories, seed + 7).items():
                scores[f"{template}.{cell}"] = accuracy
                of_cell[cell].append(accuracy)
        by_cell = {cell: float(np.mean(found)) for cell, found in of_cell.items() if found}
        return {"accuracy": float(np.mean(list(by_cell.values()))), **by_cell, **scores}


def equal_shares(templates: Sequence[str]) -> dict[str, float]:
    """The same share for every template."""
    return {name: 1.0 for name in templates}


@torch.no_grad()
def cell_accuracies(
    model: CausalLM, packer: BeliefPacker, n_stories: int, seed: int, chunk: int = 60
) -> dict[str, float]:
    """Full-vocabulary accuracy by cell over a fixed stream of random stories."""
    rng = np.random.default_rng([seed, n_stories])
    correct: dict[str, list[torch.Tensor]] = {}
    for start in range(0, n_stories, chunk):
        batch = packer.pack(packer.draw(rng, min(chunk, n_stories - start)))
        for result in target_results(model, batch):
            correct.setdefault(result.name, []).append(result.correct)
    return {cell: torch.cat(correct[cell]).double().mean().item() for cell in CELLS if cell in correct}


def worst_cell_on(packer: BeliefPacker, seed: int) -> Callable[[CausalLM, int], float]:
    """``accuracy(model, n)``: that of the worst cell over about n prompts (four a story)."""
    return lambda model, n: min(cell_accuracies(model, packer, n // len(QUESTIONS), seed).values())
