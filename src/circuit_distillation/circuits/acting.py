"""Where a head acts: the tokens at which ablating it alone moves the answer.

A head that matters may act at few tokens: one that marks boxes acts at their labels, one that fetches the
answer at the last token. Comparing it elsewhere compares what nothing reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from circuit_distillation.circuits.mean_ablation import head_effects, head_means
from circuit_distillation.heads import Head
from circuit_distillation.models.encoding import encode
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.tasks.example import Example

if TYPE_CHECKING:
    import pandas as pd

N_EXAMPLES = 24  # over all layouts
SHARE = 0.05  # a head acts where its effect is at least this share of its largest


def acting_effects(
    checkpoint: Checkpoint,
    examples: Sequence[Example],
    means: Sequence[Example],
    n_examples: int = N_EXAMPLES,
) -> pd.DataFrame:
    """Mean size of the change of the answer's log-probability, in nats, for every head and token.

    z of the head becomes, at that token alone, its mean over the prompts `means` of the same template. The
    first `n_examples` examples are shared out evenly over templates.

    Returns:
        template, layer, head, token (index), effect.
    """
    import pandas as pd

    frames = []
    for template, own, reference in _by_template(examples, means, n_examples):
        effects = _of_layout(checkpoint, own, reference)  # [token, layer, head]
        token, layer, head = (index.flatten().numpy() for index in _indices(effects))
        columns = {"layer": layer, "head": head, "token": token, "effect": effects.flatten().numpy()}
        frames.append(pd.DataFrame({"template": template} | columns))
    return pd.concat(frames, ignore_index=True)


def acting_tokens(effects: pd.DataFrame, head: Head) -> dict[str, list[int]]:
    """template -> tokens where a head acts: at least SHARE of its largest effect in any template."""
    own = effects[(effects["layer"] == head[0]) & (effects["head"] == head[1])]
    if own.empty:
        raise ValueError(f"there are no acting effects of head {head}: are they of another model?")
    acts = own[own["effect"] >= SHARE * own["effect"].max()]
    found = {template: sorted(rows["token"].tolist()) for template, rows in acts.groupby("template")}
    return {template: found.get(template, []) for template in own["template"].unique()}


def acting_masks(effects: pd.DataFrame, examples: Sequence[Example], n_tokens: int) -> dict[Head, Tensor]:
    """head -> [example, token] bool, where it acts in each prompt.

    ValueError for a template without effects: its layout was not in the prompts they were measured on.
    """
    missing = {example.template for example in examples} - set(effects["template"])
    if missing:
        raise ValueError(f"where heads act was not measured on prompts of {', '.join(sorted(missing))}")
    masks = {}
    for layer, index in effects[["layer", "head"]].drop_duplicates().itertuples(index=False):
        head = (int(layer), int(index))
        tokens = acting_tokens(effects, head)
        masks[head] = torch.zeros(len(examples), n_tokens, dtype=torch.bool)
        for row, example in enumerate(examples):
            masks[head][row, tokens[example.template]] = True
    return masks


def _by_template(
    examples: Sequence[Example], means: Sequence[Example], n_examples: int
) -> Iterator[tuple[str, list[Example], list[Example]]]:
    templates = list(dict.fromkeys(example.template for example in examples))
    share = max(1, n_examples // len(templates))
    for template in templates:
        own, reference = (
            [example for example in split if example.template == template] for split in (examples, means)
        )
        if not reference:
            raise ValueError(
                f"no prompt of template {template!r} is among those for the means: give more of them"
            )
        yield template, own[:share], reference


@torch.no_grad()
def _of_layout(checkpoint: Checkpoint, examples: Sequence[Example], means: Sequence[Example]) -> Tensor:
    """[token, layer, head], prompts of one layout."""
    model, device = checkpoint.model, checkpoint.model.device
    encoded = encode(checkpoint.tokenizer, examples).to(device)
    reference = head_means(model, encode(checkpoint.tokenizer, means).input_ids.to(device))
    parts = []
    for token in range(encoded.input_ids.shape[1]):
        found = head_effects(model, encoded.input_ids, encoded.answer_ids, reference, positions=[token])
        parts.append((found.log_prob - found.base_log_prob).abs().mean(-1).cpu())
    return torch.stack(parts)


def _indices(values: Tensor) -> tuple[Tensor, ...]:
    return torch.meshgrid(*(torch.arange(size) for size in values.shape), indexing="ij")
