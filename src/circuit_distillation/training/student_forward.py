"""One forward of a student: logits after the last token, and the activations compared with the teacher's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.models.encoding import Encoded
from circuit_distillation.training.features import RecordedFeatures, Site, row_positions
from circuit_distillation.training.head_slices import HeadSlices


class StudentForward(nn.Module):
    """What a distributed wrapper wraps: the student, its trained slices if any, and the sites to read."""

    def __init__(
        self,
        model: CausalLM,
        slices: HeadSlices | None,
        sites: Sequence[Site],
        reads_logits: bool,
        observable: str = "z",
    ):
        super().__init__()
        self.model = model
        self.slices = slices
        self.sites = list(sites)
        self.observable = observable
        self._reads_logits = reads_logits

    def trainable(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, last: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits [batch, vocabulary] after position last [batch], and activations [site, batch, row, width].

        Logits that no loss reads carry no gradient: a distributed wrapper would wait for it.
        """
        with RecordedFeatures(self.model, self.sites, self.observable) as recorded:
            hidden = self.model.model(
                input_ids=input_ids, attention_mask=attention_mask, use_cache=False
            ).last_hidden_state
            found = recorded.at(positions) if self.sites else {}
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._reads_logits):
            logits = self.model.lm_head(hidden[torch.arange(len(last), device=last.device), last])
        features = torch.stack([found[site] for site in self.sites]) if self.sites else logits.new_zeros(0)
        return logits, features


class Batches:
    """A split as the arguments of `StudentForward`, cut by index and moved to the device when asked for."""

    def __init__(self, encoded: Encoded, rows: str, device: torch.device):
        self._encoded = encoded
        self._positions, self._counted = row_positions(encoded, rows)
        self._device = device

    def __len__(self) -> int:
        return len(self._encoded.input_ids)

    def inputs(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """input_ids, attention_mask, last and positions of the examples `index` [batch]."""
        encoded = self._encoded
        parts = (encoded.input_ids, encoded.attention_mask, encoded.positions["last"], self._positions)
        ids, mask, last, positions = (part[index].to(self._device) for part in parts)
        return ids, mask, last, positions

    def counted(self, index: Tensor) -> Tensor:
        """Which of the rows count, [batch, row] bool, on the CPU."""
        return self._counted[index]
