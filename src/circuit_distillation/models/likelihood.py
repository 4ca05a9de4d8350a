"""Answer questions whose options have several tokens: choose the highest likelihood per token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.models.words import continuations
from circuit_distillation.tasks.held_out import Choice

if TYPE_CHECKING:
    import pandas as pd


@torch.no_grad()
def option_scores(
    checkpoint: Checkpoint, prompt: str, options: Sequence[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-likelihoods of the options after prompt and space, and their numbers of tokens, each [option].

    No token spans prompt and option; options are right padded and scored in one forward.
    """
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    start = tokenizer(prompt).input_ids
    endings = continuations(tokenizer, [f" {option}" for option in options])
    longest = max(map(len, endings))
    ids = torch.tensor([[*start, *ending, *[0] * (longest - len(ending))] for ending in endings])
    lengths = torch.tensor([len(ending) for ending in endings])
    real = torch.arange(longest) < lengths[:, None]
    mask = torch.cat([torch.ones(len(ids), len(start), dtype=torch.long), real.long()], dim=1)
    device = model.device
    hidden = model.model(
        input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False
    ).last_hidden_state
    log_p = model.lm_head(hidden[:, len(start) - 1 : -1]).double().log_softmax(-1).cpu()
    chosen = log_p.gather(-1, ids[:, len(start) :, None]).squeeze(-1)
    return chosen.masked_fill(~real, 0.0).sum(1), lengths


def choice_frame(checkpoint: Checkpoint, items: Sequence[Choice]) -> pd.DataFrame:
    """Every item: item_id, group_id, condition, n_options, chosen, correct, group_correct.

    The chosen option has the highest mean log-likelihood a token. `group_correct`: all items of the group are
    right, as true and false belief of one story.
    """
    import pandas as pd

    rows = []
    for item in items:
        scores, lengths = option_scores(checkpoint, item.prompt, item.options)
        chosen = int((scores / lengths).argmax())
        shown = {name: getattr(item, name) for name in ("item_id", "group_id", "condition")}
        rows.append(
            shown | {"n_options": len(item.options), "chosen": chosen, "correct": chosen == item.answer}
        )
    frame = pd.DataFrame(rows)
    return frame.assign(group_correct=frame.groupby("group_id")["correct"].transform("all"))
