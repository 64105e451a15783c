"""Batches of prepared molecules, of similar length, in an order that depends on seed and epoch alone.

The order is a function, not a state: batch i of an epoch is known without reading batches 0 .. i - 1, so resuming costs
nothing, and the ranks of a distributed run divide every epoch among them without talking.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from molvae.core.arrays import AnyArray
from molvae.core.errors import ConfigError
from molvae.data.batch import TokenBatch
from molvae.data.shards import TokenShards


@dataclass(frozen=True)
class BatchLoader:
    """Length-bucketed batches.

    An epoch is a random permutation, cut into pools of `pool_batches` batches; each pool is sorted by length and cut
    into batches, and the batches are shuffled. With several ranks each position is `world_size` batches, one a rank;
    what is left over at the end (less than one batch a rank) is dropped, another remainder each epoch.

    Args:
        shards: the split.
        batch_size: molecules per batch and rank.
        seed: of the order.
        rank, world_size: of a distributed run.
        pool_batches: batches sorted together; more of them means less padding and less randomness.
        pin_memory: for copies to a GPU that overlap with computation.
    """

    shards: TokenShards
    batch_size: int
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    pool_batches: int = 64
    pin_memory: bool = False

    def __post_init__(self) -> None:
        if len(self) == 0:
            raise ConfigError(
                f"{len(self.shards)} molecules make no batch of {self.batch_size} on each of {self.world_size} ranks; "
                "lower batch_size"
            )

    def __len__(self) -> int:
        """Batches per epoch and rank."""
        return len(self.shards) // (self.batch_size * self.world_size)

    def order(self, epoch: int) -> AnyArray:
        """Molecule indices of every batch of this rank in an epoch, (n_batches, batch_size)."""
        rng = np.random.default_rng([self.seed, epoch])
        n_used = len(self) * self.world_size * self.batch_size
        chosen = rng.permutation(len(self.shards))[:n_used]
        lengths = self.shards.lengths
        pool = self.pool_batches * self.batch_size
        pools = [chosen[i : i + pool] for i in range(0, n_used, pool)]
        ordered = np.concatenate([p[np.argsort(lengths[p], kind="stable")] for p in pools])
        batches = ordered.reshape(-1, self.batch_size)
        return batches[rng.permutation(len(batches))][self.rank :: self.world_size]

    def batches(self, epoch: int, first: int = 0) -> Iterator[TokenBatch]:
        """Batches of an epoch from number `first` on."""
        for indices in self.order(epoch)[first:]:
            yield self.collate(indices)

    def collate(self, indices: AnyArray) -> TokenBatch:
        """The batch of some molecules."""
        tokens = torch.from_numpy(self.shards.padded(indices))
        lengths = torch.from_numpy(self.shards.lengths_of(indices).astype(np.int64))
        told = self.shards.told(indices)
        batch = TokenBatch(tokens, lengths, None if told is None else torch.from_numpy(told))
        return batch.pin_memory() if self.pin_memory else batch


def in_order(shards: TokenShards, batch_size: int, limit: int | None = None) -> Iterator[TokenBatch]:
    """The first `limit` molecules once, in their order, the last batch smaller (for evaluation)."""
    n = len(shards) if limit is None else min(limit, len(shards))
    loader = BatchLoader(shards, 1)
    for start in range(0, n, batch_size):
        yield loader.collate(np.arange(start, min(start + batch_size, n)))
