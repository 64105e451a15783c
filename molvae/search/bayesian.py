"""The search of molvae: a Tanimoto Gaussian process over molecules, and proposals in latent and structural space.

One batch: parents are the best molecules so far; a few inner generations, free of oracle calls, propose candidates,
rank them by the acquisition function and make the best of them parents again; the batch is picked one by one, each
pick lowering the uncertainty of what resembles it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from pydantic import Field
from rdkit import Chem

from molvae.chem.molecules import parse
from molvae.core.arrays import AnyArray, Array
from molvae.core.config import Spec
from molvae.search.acquisition import Acquisition, Scorer, UpperConfidenceBound
from molvae.search.ask_tell import Search, sift
from molvae.search.diversity import Spread
from molvae.search.features import CountFingerprint
from molvae.search.goals import Goal, Maximum
from molvae.search.kernel import Weighting
from molvae.search.library import Library
from molvae.search.multiobjective import JointAcquisition
from molvae.search.outcomes import OutcomesGP
from molvae.search.pool import Pool, Reserve
from molvae.search.proposals import Candidate, Parents, Proposer, probabilities, proposed
from molvae.search.surrogate import Posterior, TanimotoGP

WORTHWHILE = 40  # proposals made at once


class InnerSpec(Spec):
    """How much is tried for each batch, without calling the oracle."""

    generations: int = Field(4, ge=1, description="rounds of proposing")
    candidates: int = Field(20, ge=1, description="proposals a generation for each molecule of a batch")
    most: int = Field(1000, ge=1, description="proposals a generation, at most, however large the batch")
    parents: int = Field(100, ge=1, description="how many of the best are parents")
    rank_offset: float = Field(0.05, gt=0, description="how evenly parents are drawn, see `Parents`")
    reserve: int = Field(
        100,
        ge=0,
        description="unpicked candidates kept for the next batch, so that the inner search goes on where it stopped",
    )
    immigrants: int = Field(200, ge=0, description="molecules of search.library that join in each batch")
    memory: int = Field(
        2000,
        ge=2,
        description="observed molecules that the surrogate knows, at most: the best, and the latest; time and memory "
        "grow with its square",
    )


class BayesianSearch(Search):
    """Ask/tell search with a Tanimoto Gaussian process on the molecules themselves.

    Args:
        proposers: kinds of proposal with their shares of the candidates.
        acquisition: what ranks candidates.
        surrogate: the Gaussian process; new, without observations.
        goal: what makes a molecule a good one; a high score, where none is given.
        fingerprint: what the surrogate sees of a molecule.
        inner: size of the inner search.
        others: see `Search`.

    Attributes:
        neighbours: molecules that are candidates beside what the proposers make, where nothing is left of a batch
            before: in the first one, and where an island begins.
        library: molecules that no oracle has scored, of which some join each batch; see `InnerSpec`. They cost calls
            only when they are picked, and keep the parents from becoming one family.
        min_distance: least distance within a batch, and to molecules that are being scored (see `diversity`); a batch
            may then be smaller than asked for.
    """

    neighbours: Sequence[str] = ()
    library: Library | None = None
    min_distance: float = 0.0

    def __init__(
        self,
        proposers: Sequence[tuple[Proposer, float]],
        *,
        acquisition: Acquisition | None = None,
        surrogate: TanimotoGP | OutcomesGP | None = None,
        goal: Goal | None = None,
        fingerprint: CountFingerprint | None = None,
        inner: InnerSpec | None = None,
        seed: int = 0,
        start: Sequence[str] = (),
        accept: Callable[[Chem.Mol], bool] = lambda mol: True,
    ) -> None:
        super().__init__(seed, start, accept)
        self.proposers = tuple(proposers)
        self.acquisition = acquisition or UpperConfidenceBound()
        self.fingerprint = fingerprint or CountFingerprint()
        plain = TanimotoGP(weighting=Weighting(self.fingerprint.ends, self.fingerprint.weights()))
        self.surrogate = plain if surrogate is None else surrogate  # an empty one is falsy
        self.goal = goal or Maximum()
        self.inner = inner or InnerSpec()
        self._columns: dict[str, AnyArray] = {}  # of the ones in a scored molecule's fingerprint
        self._known: list[str] = []  # what the surrogate has observed, in its order
        self._reserve: Reserve | None = None

    def _observe(self, smiles: list[str], values: Array) -> None:
        self._take_in(smiles, values)

    def _learn(self, smiles: list[str], values: Array, errors: Array) -> None:
        self._take_in(smiles, values, errors)

    def _take_in(self, smiles: list[str], values: Array, errors: Array | None = None) -> None:
        finite = [np.isfinite(value).all() for value in values]
        mols = {i: mol for i, s in enumerate(smiles) if (mol := parse(s)) is not None and finite[i]}
        keep = list(mols)
        if keep:
            fingerprints = self.fingerprint(list(mols.values()))
            self.surrogate.append(fingerprints, values[keep], *([] if errors is None else [errors[keep]]))
            phase = self.goal.phase
            self.goal.observe([smiles[i] for i in keep], values[keep])
            if self.goal.phase != phase:
                self._noted = []  # what was left are children of other parents
            columns = np.split(fingerprints.indices, fingerprints.indptr[1:-1])
            self._columns.update({smiles[i]: row for i, row in zip(keep, columns, strict=True)})
            self._known += [smiles[i] for i in keep]
            self.surrogate.adapt()
            if len(self._known) > 1.25 * self.inner.memory:  # seldom, since it costs a new factor
                self._forget()

    def _forget(self) -> None:
        """Leave to the surrogate the best half of what it may know, and the latest of the others."""
        best = set(self.goal.ranked(self.inner.memory // 2))
        others = [row for row, smiles in enumerate(self._known) if smiles not in best]
        room = max(self.inner.memory - len(best), 0)  # a front may be larger than the memory
        latest = set(others[-room:] if room else [])
        rows = [row for row, smiles in enumerate(self._known) if smiles in best or row in latest]
        self.surrogate.keep(rows)
        self._known = [self._known[row] for row in rows]

    @contextmanager
    def _believing(self) -> Iterator[None]:
        if not self.awaited:
            yield
            return
        mols = [mol for mol in map(parse, self.awaited) if mol is not None]
        with super()._believing(), self.surrogate.believing(self.fingerprint(mols)):
            yield

    def _propose(self, n: int, rng: np.random.Generator) -> list[Candidate]:
        best, stalled = self.goal.progress
        stalled = min(stalled, len(self.values) - self._n_learnt)  # measured molecules were no attempts
        scorer = self.acquisition.draw(best, rng, stalled)
        pool = Pool(self.values, scorer, self.surrogate.noise)
        if elite := self.goal.parents(self.inner.parents):
            pool.rank(elite, self._belief_in(elite))
        self._take_up_reserve(pool)
        if not self._noted:
            self._add(pool, [Candidate(s, "neighbour") for s in self.neighbours])
        if self.library is not None:
            immigrants, fingerprints = self.library.draw(self.inner.immigrants, rng, pool.knows)
            if immigrants:
                pool.add(immigrants, self.surrogate.posterior(fingerprints))
        for counts in self._plan(n, rng):
            ranked = sorted(pool.standing, key=lambda s: -pool.standing[s])[: self.inner.parents]
            ranked = ranked or list(self.values)[: self.inner.parents]  # all have failed: anything is a start
            parents = Parents(tuple(ranked), self.inner.rank_offset)
            self._add(pool, proposed(self.proposers, counts, parents, rng))
        picked = self._picked(pool, n, lambda: self.acquisition.draw(best, rng, stalled), rng)
        left = pool.best_without(picked)[: self.inner.reserve]
        self._note = [f"{c.smiles} {c.origin}" for c in left]
        self._reserve = Reserve(left, pool.belief_in(left), self.surrogate.weights) if left else None
        return picked

    def _belief_in(self, told: Sequence[str]) -> Posterior:
        """The surrogate's belief about molecules whose scores it was told, of which it may have forgotten some."""
        row_of = {s: row for row, s in enumerate(self._known)}
        if row_of.keys() >= set(told):
            return self.surrogate.posterior_of([row_of[s] for s in told])
        return self.surrogate.posterior(self.fingerprint.stacked([self._columns[s] for s in told]))

    def _take_up_reserve(self, pool: Pool) -> None:
        """Add what the last batch left; where only its names are of use, since the search was replayed or looks at
        other features now, they are parsed again."""
        noted = [Candidate(*entry.split(" ", 1)) for entry in self._noted]
        reserve = self._reserve
        if reserve is None or reserve.candidates != noted or reserve.weights != self.surrogate.weights:
            self._add(pool, noted)
        elif rows := [row for row, c in enumerate(noted) if c.smiles not in self.values]:
            pool.add([noted[row] for row in rows], self.surrogate.renewed(reserve.belief.rows(rows)))

    def _add(self, pool: Pool, drawn: list[Candidate]) -> None:
        """Sift candidates and take the good ones into the pool."""
        candidates, mols = sift(drawn, pool.knows, self.accept)
        if candidates:
            fingerprints = self.fingerprint(mols, self.surrogate.weights)
            pool.add(candidates, self.surrogate.posterior(fingerprints))

    def _picked(self, pool: Pool, n: int, draw: Callable[[], Scorer], rng: np.random.Generator) -> list[Candidate]:
        """The batch: one draw of the acquisition after another, or by a joint one from pool and best together."""
        known = self.goal.ranked(1) if isinstance(self.acquisition, JointAcquisition) else []
        if not (known and pool.candidates and isinstance(self.acquisition, JointAcquisition)):
            return pool.pick(n, draw, Spread(self.min_distance, self.awaited))
        belief = pool.belief()
        chosen = self.acquisition.choose(self._belief_in(known), belief, pool.scorer(belief), n, rng)
        return [pool.candidates[i] for i in chosen]

    def _plan(self, n: int, rng: np.random.Generator) -> list[list[int]]:
        """How many candidates each proposer makes in each generation, from the shares.

        What is made at once costs nearly as much for few as for many: where other proposals come anyway, a few are put
        off, and made for several batches together in one of them.
        """
        candidates = min(n * self.inner.candidates, self.inner.most)
        total = rng.multinomial(candidates * self.inner.generations, probabilities(self.proposers))
        plan = np.zeros((self.inner.generations, len(total)), dtype=np.int64)
        others = any(count for (proposer, _), count in zip(self.proposers, total, strict=True) if not proposer.at_once)
        for i, ((proposer, _), count) in enumerate(zip(self.proposers, total, strict=True)):
            if proposer.at_once:
                batches = -(-WORTHWHILE // count) if others and count else 1
                plan[0, i] = count * batches if rng.random() * batches < 1 else 0
            else:
                plan[:, i] = count // len(plan) + (np.arange(len(plan)) < count % len(plan))
        return plan.tolist()
