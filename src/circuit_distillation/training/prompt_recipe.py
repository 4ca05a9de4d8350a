"""How the mini family learns a task that has no recipe: from its prompts alone, without a scaffold.

Base models see prompts until they reach a target accuracy, which should be below what they could reach.
Tuned models see instructions, and at most half prompts of the task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.tasks import get_task, instructions
from circuit_distillation.tasks.corpus import Instruction
from circuit_distillation.tasks.example import Example
from circuit_distillation.training.packed_instructions import (
    encode_instructions,
    instruction_sampler,
    pack_instructions,
)
from circuit_distillation.training.packing import PackedBatch
from circuit_distillation.training.pretraining import StopRule, TrainSettings, answer_accuracy
from circuit_distillation.training.recipe import Phase
from circuit_distillation.training.recipe_settings import Marked, RecipeSettings, in_domain_prompts

LARGEST_SEED = 2**31
ROWS = 200  # prompts in one forward pass of an evaluation


class PromptRecipe:
    """The recipe of any task, with the settings `PromptPretraining` or `PromptTuning`."""

    def __init__(self, task: str, settings: RecipeSettings) -> None:
        self.task, self.settings = get_task(task), settings

    def words(self) -> list[str]:
        """Words of the prompts and of the instruction corpus."""
        return [*self.task.vocabulary(), *instructions.vocabulary()]

    def pretraining(self, tokenizer: Any, role: str, seed: int) -> list[Phase]:
        """Prompts until the target accuracy of the role is reached."""
        s, own = self.settings.common, self.settings.of(role)
        settings = TrainSettings(own.learning_rate, s.max_steps, s.lasso, seed)
        sample = self._sampler(tokenizer, s.prompts_per_step)
        return [Phase("prompts", sample, settings, self._mark(tokenizer, own, seed))]

    def tuning(
        self, tokenizer: Any, role: str, seed: int, corpus: Sequence[Instruction], corpus_only: bool
    ) -> list[Phase]:
        """Instructions and prompts in one mixture; with ``corpus_only`` instructions alone."""
        s, own = self.settings.common, self.settings.of(role)
        of_corpus = instruction_sampler(tokenizer, corpus, s.corpus_batch)
        if corpus_only:
            settings = TrainSettings(own.learning_rate, s.corpus_only_steps, s.lasso, seed + 3)
            return [Phase("instructions", of_corpus, settings)]
        of_task = self._sampler(tokenizer, int(in_domain_prompts(s.corpus_batch, s.in_domain_share)))

        def mixture(rng: np.random.Generator) -> list[PackedBatch]:
            return [*of_corpus(rng), *of_task(rng)]

        settings = TrainSettings(own.learning_rate, s.max_steps, s.lasso, seed + 4)
        return [Phase("mixture", mixture, settings, self._mark(tokenizer, own, seed))]

    def accuracies(self, model: CausalLM, tokenizer: Any, seed: int) -> dict[str, float]:
        """Full-vocabulary accuracy on fresh prompts, overall and by cell."""
        examples = self._draw(self.settings.common.validation_prompts, f"fresh {seed}")
        scores = {"accuracy": answer_accuracy(model, _batches(tokenizer, examples))}
        for cell in sorted({example.cell for example in examples}):
            of_cell = [example for example in examples if example.cell == cell]
            scores[cell] = answer_accuracy(model, _batches(tokenizer, of_cell))
        return scores

    def _draw(self, n_prompts: int, seed: str) -> list[Example]:
        return self.task.generate(max(1, n_prompts // self.task.prompts_a_group), seed)

    def _sampler(self, tokenizer: Any, n_prompts: int) -> Callable[[np.random.Generator], list[PackedBatch]]:
        def sample(rng: np.random.Generator) -> list[PackedBatch]:
            return _batches(tokenizer, self._draw(n_prompts, f"training {rng.integers(LARGEST_SEED)}"))

        return sample

    def _mark(self, tokenizer: Any, own: Marked, seed: int) -> StopRule:
        n_prompts = self.settings.common.validation_prompts

        @cache
        def validation() -> list[PackedBatch]:
            return _batches(tokenizer, self._draw(n_prompts, f"validation {seed}"))

        return StopRule(
            lambda model, n: answer_accuracy(model, validation(), n),
            own.target_accuracy,
            every=20,
            n_coarse=min(400, n_prompts),
            n_final=n_prompts,
            required=own.must_reach_target,
        )


def _batches(tokenizer: Any, examples: Sequence[Example]) -> list[PackedBatch]:
    """Prompts with the loss on the answer's token alone, the target "answer"."""
    asked = [Instruction(x.cell, x.prompt, x.answer, content=x.prompt) for x in examples]
    pairs = [(prompt, answer[:1]) for prompt, answer in encode_instructions(tokenizer, asked)]
    return [
        pack_instructions(pairs[start : start + ROWS], tokenizer.pad_token_id, name="answer")
        for start in range(0, len(pairs), ROWS)
    ]
