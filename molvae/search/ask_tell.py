"""The contract of a search: ask for molecules, tell their scores.

The state of a search is a pure function of what it was told, and of what it noted while it was asked: batch b draws all
its randomness from `numpy.random.default_rng([seed, b])`, so a search that is told the same batches again, with its
notes, stands where it stood.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from rdkit import Chem

from molvae.chem.molecules import canonical, has_radicals, parse
from molvae.core.arrays import Array
from molvae.core.errors import DataError
from molvae.core.files import nan_as_none
from molvae.search.proposals import Candidate

START_STREAM, LIBRARY_STREAM, LEAD_STREAM = (2**32 - n for n in (1, 2, 3))  # random streams beside those of the batches
PENDING_STREAM = 1  # within that of a batch; not 0: numpy takes [seed, n, 0] for [seed, n]


class Search(ABC):
    """Ask/tell over molecules; larger scores are better, NaN means "could not be scored".

    A molecule that is judged by several numbers (objectives, and outcomes that are constrained; see `outcomes`) has a
    row of K numbers in place of the score.

    Attributes:
        awaited: the molecules that were pending at the last `ask`.

    Args:
        seed: of all randomness.
        start: molecules to be asked first, in this order.
        accept: whether a candidate may be asked for at all; start molecules are not filtered.
    """

    def __init__(
        self, seed: int = 0, start: Sequence[str] = (), accept: Callable[[Chem.Mol], bool] = lambda mol: True
    ) -> None:
        self.seed, self.accept = seed, accept
        self.start = distinct(start)
        self.values: dict[str, Any] = {}  # a score, or a list of K numbers
        self.awaited: tuple[str, ...] = ()
        self._n_learnt = 0
        self._told: list[dict[str, Any]] = []
        self._pending: tuple[int, list[Candidate]] | None = None
        self._note: list[str] = []  # of the last ask
        self._noted: list[str] = []  # of the ask before it, whose scores are told

    @property
    def note(self) -> list[str]:
        """Molecules that the last `ask` wants to remember; whoever records scores records them too."""
        return list(self._note)

    @property
    def batch(self) -> int:
        """Number of batches told so far."""
        return len(self._told)

    def ask(self, n: int, pending: Sequence[str] = ()) -> list[Candidate]:
        """At most `n` distinct canonical molecules that were never told; fewer, or none, when no more can be found.

        The same question twice in a row has the same answer.

        Args:
            pending: canonical molecules that were asked for before and whose scores are on their way; they are not
                proposed again, and a search that learns takes them into account.
        """
        awaited = tuple(s for s in dict.fromkeys(pending) if s not in self.values)
        if self._pending is None or self._pending[0] != n or self.awaited != awaited:
            if awaited:  # nothing may have been told since the last ask, whose note is not to be lost
                self._noted = self._note or self._noted
            self.awaited, self._note = awaited, []
            waiting = [s for s in self.start if s not in self.values and s not in awaited][:n]
            if waiting:
                found = [Candidate(s, "start") for s in waiting]
            else:
                rng = self._stream()
                with self._believing():
                    found = self._propose(n, rng)
            self._pending = (n, found)
        return list(self._pending[1])

    def _stream(self) -> np.random.Generator:
        """The random stream of an ask: of its batch, or, while molecules are pending, of all that was asked for."""
        if self.awaited:
            return np.random.default_rng([self.seed, len(self.values) + len(self.awaited), PENDING_STREAM])
        return np.random.default_rng([self.seed, self.batch])

    @contextmanager
    def _believing(self) -> Iterator[None]:
        """While entered, awaited molecules are known; a search that learns adds what it believes of their scores."""
        self.values.update(dict.fromkeys(self.awaited, math.nan))
        try:
            yield
        finally:
            for smiles in self.awaited:
                del self.values[smiles]

    def tell(self, smiles: Sequence[str], values: Sequence[Any]) -> None:
        """Learn the scores (N,) or rows (N, K) of a batch; infinities count as NaN.

        Args:
            smiles: canonical (`molvae.chem.molecules.canonical`); those asked for, or others.
            values: a score, or a row, for each.
        """
        if len(smiles) != len(values):
            raise DataError(
                f"tell needs one value for each molecule; got {len(smiles)} molecules, {len(values)} values"
            )
        asked = self._pending[0] if self._pending else 0
        scores = np.array(values, dtype=np.float64)
        scores[~np.isfinite(scores)] = math.nan
        told = {"asked": asked, "smiles": list(smiles), "values": nan_as_none(scores.tolist()), "note": self.note}
        self._told.append(told)
        if asked:  # else told out of turn, and the note of the last ask still holds
            self._noted = self._note
        self._pending, self._note = None, []
        self.values.update(zip(smiles, scores.tolist(), strict=True))
        self._observe(list(smiles), scores)

    def learn(self, smiles: Sequence[str], values: Sequence[float], errors: Sequence[float]) -> None:
        """Take in molecules measured before the search; they are never asked for and belong to no batch.

        They are part of how a search is made and not of its state: one that loads a state must have learnt the same.

        Args:
            smiles: canonical, distinct.
            values: finite scores.
            errors: variance of each score's error of measurement, in squared units of the score.
        """
        if self._told or self._pending is not None:
            raise DataError("measured molecules must be learnt before the search is asked or told anything")
        self.values.update(zip(smiles, map(float, values), strict=True))
        self._n_learnt = len(self.values)
        self._learn(list(smiles), np.array(values, dtype=np.float64), np.array(errors, dtype=np.float64))

    def state_dict(self) -> dict[str, Any]:
        """All that was told, as plain types; JSON can hold it."""
        return {"format": 1, "seed": self.seed, "told": [dict(batch) for batch in self._told]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand where the search with this state stood; this one must be new, with the same arguments."""
        if self._told:
            raise DataError("a state can only be loaded into a search that was told nothing yet")
        if state.get("format") != 1 or state.get("seed") != self.seed:
            raise DataError(
                f"expected a search state of format 1 and seed {self.seed}; "
                f"got {state.get('format')} and {state.get('seed')}"
            )
        for batch in state["told"]:
            values = np.array(batch["values"], dtype=np.float64).tolist()  # None becomes NaN
            self.replay(batch["asked"], batch["smiles"], values, batch["note"])

    def replay(self, asked: int, smiles: Sequence[str], values: Sequence[Any], note: Sequence[str] = ()) -> None:
        """Tell a batch of an earlier run that had been asked for with `ask(asked)`, after which `note` was noted."""
        self._pending, self._note = (asked, []), list(note)
        self.tell(smiles, values)

    @abstractmethod
    def _propose(self, n: int, rng: np.random.Generator) -> list[Candidate]:
        """At most `n` new molecules, when no start molecule is left."""

    def _gathered(self, n: int, draws: Iterable[Sequence[Candidate]]) -> list[Candidate]:
        """What is new and acceptable in one draw after another, until there are `n` or more."""
        found: dict[str, Candidate] = {}
        for drawn in draws:
            new, _mols = sift(drawn, lambda s: s in self.values or s in found, self.accept)
            found.update({c.smiles: c for c in new})
            if len(found) >= n:
                break
        return list(found.values())

    @abstractmethod
    def _observe(self, smiles: list[str], values: Array) -> None:
        """Take in scores (N,) or rows (N, K), NaN for failed ones."""

    def _learn(self, smiles: list[str], values: Array, errors: Array) -> None:
        """Take in measured scores (N,) and their error variances (N,), which most methods have no use for."""
        self._observe(smiles, values)


def distinct(smiles: Sequence[str]) -> list[str]:
    """The molecules in canonical form, in order, without the invalid and repeated."""
    return [s for s in dict.fromkeys(canonical(s) for s in smiles) if s is not None]


def sift(
    candidates: Sequence[Candidate], known: Callable[[str], bool], accept: Callable[[Chem.Mol], bool]
) -> tuple[list[Candidate], list[Chem.Mol]]:
    """The candidates in canonical form, and their molecules, without the invalid, repeated, known and unacceptable,
    and without radicals."""
    found: dict[str, tuple[Candidate, Chem.Mol]] = {}
    for candidate in candidates:
        if candidate.smiles in found or known(candidate.smiles):  # most are canonical already: no need to parse
            continue
        mol = parse(candidate.smiles)
        if mol is None or has_radicals(mol, candidate.smiles):
            continue
        smiles = Chem.MolToSmiles(mol)
        if smiles not in found and not known(smiles) and accept(mol):
            found[smiles] = (Candidate(smiles, candidate.origin), mol)
    return [c for c, _ in found.values()], [m for _, m in found.values()]
