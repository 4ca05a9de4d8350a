"""Does the engine compute what transformers does? `python -m circuit_distillation.circuits.parity FOLDER`.

The engine runs decoder blocks of its own. Here they are compared with the model itself, in float32 with eager
attention: the logits of clean runs, and path patching of some heads with plain hooks, to the logits and
through the queries of three heads.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from torch import Tensor

from circuit_distillation.circuits.block import add_mlp, attention_output, last_logits
from circuit_distillation.circuits.layers import layer_states
from circuit_distillation.circuits.path_patching import score_heads
from circuit_distillation.circuits.precision import WorkingLayers
from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import CausalLM, architecture, decoder_layers
from circuit_distillation.models.checkpoint_files import check_config, check_weights
from circuit_distillation.models.encoding import encode
from circuit_distillation.models.head_outputs import head_outputs, replaced_head_outputs
from circuit_distillation.models.loading import load_checkpoint
from circuit_distillation.models.words import split_words
from circuit_distillation.tasks import get_task

TOLERANCE = 1e-4  # of the largest logit


@dataclass(frozen=True)
class Parity:
    """Largest differences between the engine and transformers, as shares of the largest logit."""

    logits: float  # of clean runs, after the last token
    patching: float  # of log-probability changes, over heads and both paths

    @property
    def holds(self) -> bool:
        """Whether both are within the tolerance."""
        return max(self.logits, self.patching) <= TOLERANCE


@torch.no_grad()
def parity(
    model: CausalLM, clean_ids: Tensor, corrupt_ids: Tensor, answers: Tensor, heads: int, seed: int = 0
) -> Parity:
    """Compare on prompts [example, position] of one length, and on that number of random heads."""
    expected = model(input_ids=clean_ids, use_cache=False).logits[:, -1]
    scale = float(expected.abs().max())
    off = float((_engine_logits(model, clean_ids) - expected).abs().max())
    rng, arch = Random(seed), architecture(model)
    senders = [divmod(k, arch.n_heads) for k in rng.sample(range(arch.n_total_heads), heads)]
    upper = range(arch.n_total_heads // 2, arch.n_total_heads)
    receivers = [divmod(k, arch.n_heads) for k in sorted(rng.sample(upper, 3))]
    prompts = (clean_ids, corrupt_ids, answers)
    worst = 0.0
    for through in (None, receivers):
        which = None if through is None else "q"
        scores = score_heads(model, *prompts, -1, receivers=through, receiver_input=which, score="log_prob")
        hooked = hooked_scores(model, *prompts, senders, through)
        found = torch.stack([scores[layer, head] for layer, head in senders])
        worst = max(worst, float((found - hooked).abs().max()))
    return Parity(off / scale, worst / scale)


def _engine_logits(model: CausalLM, ids: Tensor) -> Tensor:
    for state in layer_states(model, ids[:, None]):
        last = state
    layer = WorkingLayers(model)[-1]
    x = add_mlp(layer, last.residual + attention_output(layer, last.z))[:, 0, -1]
    return torch.cat([logits for _, logits in last_logits(model, x)])


@torch.no_grad()
def hooked_scores(
    model: CausalLM,
    clean_ids: Tensor,
    corrupt_ids: Tensor,
    answers: Tensor,
    senders: list[Head],
    receivers: list[Head] | None,
) -> Tensor:
    """Path patching at the last token by hooked forwards: changes of log p, [sender, example].

    receivers: heads whose queries read the patched stream; None: the logits do.
    """
    clean, corrupt = (head_outputs(model, ids)[:, :, -1] for ids in (clean_ids, corrupt_ids))

    def log_probs() -> Tensor:
        logits = model(input_ids=clean_ids, use_cache=False).logits[:, -1]
        return logits.log_softmax(-1).gather(1, answers[:, None])[:, 0]

    base, changes = log_probs(), []
    for layer, head in senders:

        def frozen(index: int, z: Tensor, layer: int = layer, head: int = head) -> Tensor:
            z = z.clone()
            z[:, -1] = clean[index]
            if index == layer:
                z[:, -1, head] = corrupt[index][:, head]
            return z

        with replaced_head_outputs(model, frozen):
            if receivers is None:
                changes.append(log_probs() - base)
                continue
            queries = _recorded_queries(model, receivers, log_probs)
        changes.append(_with_queries(model, receivers, queries, log_probs) - base)
    return torch.stack(changes)


def _recorded_queries(model: CausalLM, receivers: list[Head], run: Callable[[], Tensor]) -> dict[int, Tensor]:
    """Projected queries of the last token in the layers of the receivers, [example, head * d_head]."""
    seen: dict[int, Tensor] = {}
    hooks = [
        decoder_layers(model)[layer]
        .self_attn.get_submodule("q_proj")
        .register_forward_hook(lambda _, __, out, layer=layer: seen.__setitem__(layer, out[:, -1].clone()))
        for layer in {layer for layer, _ in receivers}
    ]
    run()
    for hook in hooks:
        hook.remove()
    return seen


def _with_queries(
    model: CausalLM, receivers: list[Head], queries: dict[int, Tensor], run: Callable[[], Tensor]
) -> Tensor:
    """The run in which the receivers have these queries at the last token."""
    width = architecture(model).d_head

    def patched(layer: int, out: Tensor) -> Tensor:
        out = out.clone()
        for head in (head for at, head in receivers if at == layer):
            columns = slice(head * width, (head + 1) * width)
            out[:, -1, columns] = queries[layer][:, columns]
        return out

    hooks = [
        decoder_layers(model)[layer]
        .self_attn.get_submodule("q_proj")
        .register_forward_hook(lambda _, __, out, layer=layer: patched(layer, out))
        for layer in queries
    ]
    result = run()
    for hook in hooks:
        hook.remove()
    return result


def check(folder: Path, n_prompts: int, n_heads: int) -> Parity:
    """Parity of a folder's model on prompts of entity tracking. ValueError if it is no usable checkpoint."""
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    check_config(folder)
    check_weights(folder)
    checkpoint = load_checkpoint(folder, attention="eager")
    words = split_words(checkpoint.tokenizer, get_task("entity").words())
    task = get_task("entity", exclude_words=tuple(words))
    examples = task.generate(-(-n_prompts // 7), 0)[:n_prompts]
    clean, corrupt = (
        encode(checkpoint.tokenizer, prompts) for prompts in (examples, task.corrupt(examples, 0))
    )
    return parity(checkpoint.model, clean.input_ids, corrupt.input_ids, clean.answer_ids, n_heads)


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 where parity holds."""
    parser = argparse.ArgumentParser(
        prog="python -m circuit_distillation.circuits.parity", description=__doc__
    )
    parser.add_argument("folder", type=Path, help="a checkpoint, in the form of save_pretrained")
    parser.add_argument("--prompts", type=int, default=7, help="prompts of entity tracking")
    parser.add_argument("--heads", type=int, default=20, help="random heads that are patched")
    given = parser.parse_args(arguments)
    try:
        found = check(given.folder, given.prompts, given.heads)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"logits differ by {found.logits:.1e} of the largest, path patching by {found.patching:.1e}")
    print(f"{'within' if found.holds else 'BEYOND'} the tolerance of {TOLERANCE:.0e}")
    return 0 if found.holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
