"""Step 2 of path patching: clean forwards in which receivers read the inputs recorded in step 1.

Only tokens from the receiver position on can change, and only from the first receiver layer on. Earlier
tokens are cached as clean keys and values.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from circuit_distillation.circuits.block import answer_log_probs, token_bytes
from circuit_distillation.circuits.clean_runs import CleanRun, prefix
from circuit_distillation.circuits.layers import Edit, rope_of, run_layer
from circuit_distillation.circuits.precision import WorkingLayers
from circuit_distillation.circuits.receivers import Receivers
from circuit_distillation.models.architecture import CausalLM, architecture


class ReceiverSuffix:
    """Step 2 for prompts whose receiver position is `start` and whose last token is `last`."""

    def __init__(self, model: CausalLM, clean: CleanRun, start: int, last: int, receivers: Receivers):
        self.model, self.clean, self.receivers = model, clean, receivers
        self.arch, self.layers = architecture(model), WorkingLayers(model)
        self.start, self.last = start, last
        self.n_padding = clean.k[0].shape[1] - 1 - last
        self.rope = rope_of(model, start, last + 1)

    @property
    def bytes_per_stream(self) -> int:
        """Scratch bytes of one sender of one example."""
        return (self.last + 1 - self.start) * token_bytes(self.model, self.clean.k[0].shape[1])

    def blocks(self, size: int) -> Iterator[tuple[slice, int]]:
        """Yields (senders, first layer to run), at most `size` senders at a time.

        Senders start at the first receiver layer above their own: before it the patched forward is the clean
        one.
        """
        bounds = [0] + [layer * self.arch.n_heads for layer in self.receivers.layers]
        for first, low, high in zip(self.receivers.layers, bounds, bounds[1:], strict=False):
            for start in range(low, high, size):
                yield slice(start, min(high, start + size)), first

    def log_probs(self, first: int, rows: Tensor, answers: Tensor, patches: dict[int, Tensor]) -> Tensor:
        """Log-probability of the answer, [sender, n], of forwards resumed at layer `first`.

        rows are examples of the clean run, answers theirs, and patches hold by receiver layer what the
        receivers read, [n, sender, slot, d_head]; without patches this is one clean forward, [1, n].
        """
        offset = self.clean.start
        x = self.clean.residual[first][rows, self.start - offset : self.last + 1 - offset][:, None]
        for index in range(first, len(self.layers)):
            last_only = index == len(self.layers) - 1
            x, _ = run_layer(
                self.layers[index],
                x,
                prefix(self.clean, index, rows, self.start),
                self.rope,
                edit=self._edit(index, patches, last_only),
                last_only=last_only,
                n_padding=self.n_padding,
            )
        return answer_log_probs(self.model, x[:, :, 0], answers[:, None])[0].T

    def _edit(self, index: int, patches: dict[int, Tensor], last_only: bool) -> dict[str, Edit]:
        if index not in patches:
            return {}
        which = self.receivers.which
        if which == "q" and last_only and self.start < self.last:
            return {}  # a query of the last layer matters at the last token only
        _, slots = self.receivers.slots(index, self.arch.group_size)
        repeats = 1 if which == "q" or self.receivers.kv_scope == "group" else self.arch.group_size
        return {
            which: lambda tensor: _overwrite(tensor.repeat_interleave(repeats, dim=3), patches[index], slots)
        }


def _overwrite(tensor: Tensor, values: Tensor, slots: list[int]) -> Tensor:
    """tensor [n, 1 or s, t, heads, d_head] with values [n, s, slot, d_head] in its first token's `slots`."""
    tensor = tensor.expand(-1, values.shape[1], -1, -1, -1).clone()
    tensor[:, :, 0, slots] = values
    return tensor
