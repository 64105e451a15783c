"""The order of batches: a function of seed and epoch, divided among ranks without loss or overlap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from molvae.core.errors import ConfigError
from molvae.data.conditions import Conditions
from molvae.data.loader import BatchLoader, in_order
from molvae.data.shards import ShardWriter, TokenShards
from molvae.tokens.vocabulary import EOS, PAD

N = 203


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> TokenShards:
    """Molecules that begin with their own number (two tokens) and are 3 to 40 ids long."""
    directory, rng = tmp_path_factory.mktemp("shards"), np.random.default_rng(0)
    with ShardWriter(directory, "train", 1000, n_properties=1) as writer:
        for i in range(N):
            body = rng.integers(3, 1000, rng.integers(0, 38))
            writer.append(np.array([3 + i, 3 + i, *body, EOS]), np.array([i / 2]))
    return replace(TokenShards.open(directory, "train"), conditions=Conditions(("x",), (10.0,), (4.0,)))


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
@pytest.mark.parametrize("batch_size", [1, 8, 40])
def test_ranks_share_the_data_set_but_for_the_remainder(shards: TokenShards, world_size: int, batch_size: int) -> None:
    loaders = [BatchLoader(shards, batch_size, 0, rank, world_size) for rank in range(world_size)]
    seen = np.concatenate([loader.order(0).ravel() for loader in loaders])
    assert len(seen) == len(set(seen.tolist())) == N // (batch_size * world_size) * batch_size * world_size
    assert len({len(loader) for loader in loaders}) == 1, "ranks must take as many steps"
    for loader in loaders:
        assert loader.order(0).shape == (len(loader), batch_size)


def test_another_remainder_each_epoch(shards: TokenShards) -> None:
    loader = BatchLoader(shards, 40)
    left_out = [frozenset(range(N)) - set(loader.order(epoch).ravel().tolist()) for epoch in range(60)]
    assert {len(left) for left in left_out} == {3}
    assert len(set(left_out)) > 50
    assert len(frozenset().union(*left_out)) > 100


def test_the_order_is_a_function_of_seed_and_epoch(shards: TokenShards) -> None:
    first = BatchLoader(shards, 8, seed=1).order(3)
    BatchLoader(shards, 8, seed=1).order(0)
    np.random.default_rng().random()
    np.testing.assert_array_equal(BatchLoader(shards, 8, seed=1).order(3), first)
    for seed, epoch in ((1, 4), (2, 3), (3, 1)):
        assert not np.array_equal(BatchLoader(shards, 8, seed=seed).order(epoch), first)


@pytest.mark.parametrize("first", [0, 1, 11, 25])
def test_going_on_in_the_middle(shards: TokenShards, first: int) -> None:
    loader = BatchLoader(shards, 8)
    whole = list(loader.batches(2))
    rest = list(loader.batches(2, first))
    assert len(whole) == len(loader) == 25
    assert len(rest) == 25 - first
    for one, other in zip(whole[first:], rest, strict=True):
        assert torch.equal(one.tokens, other.tokens)


def test_batches_hold_what_the_shards_hold(shards: TokenShards) -> None:
    loader = BatchLoader(shards, 8)
    for batch in loader.batches(0):
        assert batch.properties is not None
        assert batch.tokens.dtype == batch.lengths.dtype == torch.int64
        assert batch.tokens.shape == (8, int(batch.lengths.max()))
        for row, length, value in zip(batch.tokens, batch.lengths, batch.properties, strict=True):
            index = int(row[0]) - 3
            np.testing.assert_array_equal(row[:length].numpy(), shards[index])
            assert (row[length:] == PAD).all()
            assert float(value) == (index / 2 - 10) / 4


def test_a_model_without_conditions_is_told_nothing(shards: TokenShards) -> None:
    assert BatchLoader(replace(shards, conditions=None), 8).collate(np.array([1, 2])).properties is None


def test_a_batch_costs_nothing_for_the_other_molecules(shards: TokenShards, monkeypatch: pytest.MonkeyPatch) -> None:
    loader, indices = BatchLoader(shards, 8), np.array([3, 0, N - 1])
    expected = shards.lengths[indices].tolist()
    monkeypatch.delattr(TokenShards, "lengths")
    assert loader.collate(indices).lengths.tolist() == expected


def test_batches_are_of_similar_length_and_in_random_order(shards: TokenShards) -> None:
    def padding(loader: BatchLoader) -> float:
        batches = list(loader.batches(0))
        return 1 - sum(int(b.lengths.sum()) for b in batches) / sum(b.tokens.numel() for b in batches)

    bucketed = BatchLoader(shards, 8)
    assert padding(bucketed) < 0.1 < padding(BatchLoader(shards, 8, pool_batches=1))
    longest = [int(batch.lengths.max()) for batch in bucketed.batches(0)]
    assert longest != sorted(longest)


def test_too_few_molecules_are_said(shards: TokenShards) -> None:
    with pytest.raises(ConfigError, match="203 molecules make no batch of 128 on each of 2 ranks; lower batch_size"):
        BatchLoader(shards, 128, world_size=2)


@pytest.mark.parametrize("limit", [None, 1, 20, 1000])
def test_in_order(shards: TokenShards, limit: int | None) -> None:
    batches = list(in_order(shards, 16, limit))
    numbers = [int(row[0]) - 3 for batch in batches for row in batch.tokens]
    assert numbers == list(range(min(limit or N, N)))
    assert all(len(batch.tokens) == 16 for batch in batches[:-1])
