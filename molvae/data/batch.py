"""What passes from the loader to the model."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class TokenBatch(NamedTuple):
    """Molecules as token ids.

    Attributes:
        tokens: (B, T) int64, each row ending with EOS and then padded with 0.
        lengths: (B,) int64, ids per row, EOS included.
        properties: (B, P) float32, standardised (`data.conditions`), or None.
    """

    tokens: Tensor
    lengths: Tensor
    properties: Tensor | None = None

    def to(self, device: torch.device) -> TokenBatch:
        """The batch on a device; from pinned memory the copy overlaps with computation."""
        properties = None if self.properties is None else self.properties.to(device, non_blocking=True)
        tokens, lengths = (part.to(device, non_blocking=True) for part in (self.tokens, self.lengths))
        return TokenBatch(tokens, lengths, properties)

    def pin_memory(self) -> TokenBatch:
        """The batch in page-locked memory."""
        properties = None if self.properties is None else self.properties.pin_memory()
        return TokenBatch(self.tokens.pin_memory(), self.lengths.pin_memory(), properties)
