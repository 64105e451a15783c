"""Searches to compare with: random molecules, and Optuna's samplers on latent coordinates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from rdkit import Chem

from molvae.chem.molecules import canonical
from molvae.core.arrays import Array
from molvae.search.ask_tell import Search, sift
from molvae.search.latent import LatentModel
from molvae.search.proposals import Candidate

if TYPE_CHECKING:
    import optuna

ROUNDS = 20  # of asking the model before giving up on finding new molecules


class PriorSearch(Search):
    """Molecules sampled from the model's prior, one after another: no learning at all.

    Args:
        temperature: of decoding; None decodes latent draws greedily ("random latent" instead of "random molecule").
        others: see `Search`.
    """

    def __init__(self, model: LatentModel, temperature: float | None = 1.0, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.model, self.temperature = model, temperature

    def _propose(self, n: int, rng: np.random.Generator) -> list[Candidate]:
        return self._gathered(n, (self._drawn(n, rng) for _ in range(ROUNDS)))[:n]

    def _drawn(self, n: int, rng: np.random.Generator) -> list[Candidate]:
        decoded = self.model.decode(self.model.prior(n, rng), temperature=self.temperature, rng=rng)
        return [Candidate(s, "prior_draw") for s in decoded if s is not None]

    def _observe(self, smiles: list[str], values: Array) -> None:
        """Nothing is learnt."""


class OptunaSearch(Search):
    """One of Optuna's samplers on latent coordinates within `bounds` prior standard deviations.

    A point that decodes to a known molecule is told its known value, free of a call; a point that decodes to nothing is
    told as failed. The sampler's state is rebuilt by asking again, since its random stream advances with each trial.
    `gp` costs seconds a trial in 64 dimensions; it is there for comparison. All but `cmaes` take several objectives.
    """

    def __init__(
        self,
        model: LatentModel,
        sampler: Literal["tpe", "cmaes", "gp", "nsga2"] = "tpe",
        bounds: float = 3.0,
        seed: int = 0,
        start: Sequence[str] = (),
        accept: Callable[[Chem.Mol], bool] = lambda mol: True,
        n_objectives: int = 1,
    ) -> None:
        import optuna

        super().__init__(seed, start, accept)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        makers: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
            "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=seed),
            "gp": lambda: optuna.samplers.GPSampler(seed=seed),
            "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=seed),
        }
        self._breeds = sampler == "nsga2"
        self.model, self.bounds = model, bounds
        self._space: dict[str, optuna.distributions.BaseDistribution] = {
            f"z{i}": optuna.distributions.FloatDistribution(-bounds, bounds) for i in range(model.latent_dim)
        }
        self._study = optuna.create_study(directions=["maximize"] * n_objectives, sampler=makers[sampler]())
        self._open: dict[str, optuna.Trial] = {}

    def replay(self, asked: int, smiles: Sequence[str], values: Sequence[float], note: Sequence[str] = ()) -> None:
        self._pending = None
        self.ask(asked)
        self.tell(smiles, values)

    def _propose(self, n: int, rng: np.random.Generator) -> list[Candidate]:
        found: dict[str, Candidate] = {}
        for _ in range(ROUNDS * n):
            if len(found) == n:
                break
            trial = self._study.ask(self._space)
            z = np.array([[trial.params[name] for name in self._space]], dtype=np.float32)
            decoded = self.model.decode(z)[0]
            mine = [] if decoded is None else sift([Candidate(decoded, "optuna")], found.__contains__, self.accept)[0]
            if not mine:
                self._finish(trial, math.nan)
            elif mine[0].smiles in self.values:
                self._finish(trial, self.values[mine[0].smiles])
            else:
                self._open[mine[0].smiles] = trial
                found[mine[0].smiles] = mine[0]
        return list(found.values())

    def _observe(self, smiles: list[str], values: Array) -> None:
        for s, value in zip(smiles, values, strict=True):
            trial = self._open.pop(s, None)
            if trial is not None:
                self._finish(trial, value)
            elif np.isfinite(value).all() and canonical(s) is not None:
                mean, _ = self.model.posterior([s], on_invalid="nan")
                if np.isfinite(mean).all():
                    z = np.clip(mean[0].astype(float), -self.bounds, self.bounds)
                    self._add(dict(zip(self._space, z.tolist(), strict=True)), np.atleast_1d(value).tolist())
        if not self.awaited:
            for trial in self._open.values():  # asked for, but never told
                self._finish(trial, math.nan)
            self._open.clear()

    def _add(self, params: dict[str, float], values: list[float]) -> None:
        """Tell of a point that the sampler did not ask for."""
        import optuna

        if self._breeds:  # only what was asked for joins a generation and can have offspring
            self._study.enqueue_trial(params)
            self._finish(self._study.ask(self._space), values)
        else:
            trial = optuna.trial.create_trial(values=values, params=params, distributions=self._space)
            self._study.add_trial(trial)

    def _finish(self, trial: optuna.Trial, value: Any) -> None:
        from optuna.trial import TrialState

        if np.isfinite(value).all():
            self._study.tell(trial, np.atleast_1d(value).tolist())
        else:
            self._study.tell(trial, state=TrialState.FAIL)
