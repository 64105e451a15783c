"""Methods from outside, measured under the same conditions: our oracles, our start molecules, our count of calls."""

from __future__ import annotations

import heapq
import logging
import math
import random
from collections.abc import Sequence

from molvae.chem.molecules import canonical
from molvae.core.errors import BudgetExhausted, ConfigError
from molvae.oracles import Oracle
from pipelines.pmo.study import MolGA

GENERATIONS_PER_CALL = 10  # before the algorithm is taken to have stalled; a running one needs fewer than one


class Recorder:
    """An oracle with a budget of distinct molecules, in call order, as a function that a peer can maximise.

    A molecule that was scored before costs nothing; a failed one counts as 0, as in PMO. When the budget ends within a
    batch, the batch is scored as far as it goes.
    """

    def __init__(self, oracle: Oracle, budget: int) -> None:
        self.oracle, self.budget = oracle, budget
        self.values: dict[str, float] = {}

    def __call__(self, smiles: Sequence[str]) -> list[float]:
        """Scores (N,).

        Raises:
            BudgetExhausted: not all of them could be scored.
        """
        keys = [canonical(s) for s in smiles]
        new = [k for k in dict.fromkeys(keys) if k is not None and k not in self.values]
        allowed = new[: self.budget - len(self.values)]
        if allowed:
            self.values.update(zip(allowed, map(float, self.oracle(allowed)), strict=True))
        if len(allowed) < len(new):
            raise BudgetExhausted(f"all {self.budget} calls are spent")
        scores = [self.values[k] if k is not None else 0.0 for k in keys]
        return [0.0 if math.isnan(value) else value for value in scores]


def run_mol_ga(
    spec: MolGA, oracle: Oracle, start: Sequence[str], budget: int, seed: int
) -> tuple[list[str], list[float], str]:
    """The algorithm of `mol_ga.default_ga`, until the budget is spent.

    Returns:
        canonical molecules and their scores, both in call order, and why it ended.

    Raises:
        ConfigError: mol-ga is not installed.
    """
    try:
        from mol_ga.general_ga import run_ga_maximization
        from mol_ga.graph_ga.gen_candidates import graph_ga_blended_generation
        from mol_ga.sample_population import uniform_quantile_sampling
    except ImportError as error:
        raise ConfigError(f"mol_ga cannot be run ({error}); pip install 'molvae[peers]'") from error
    logging.getLogger("mol_ga").setLevel(logging.WARNING)
    recorder, ended = Recorder(oracle, budget), "no new molecules"
    try:
        recorder(start)  # in the order given: the algorithm itself begins with a set
        run_ga_maximization(
            scoring_func=lambda smiles: _in_order(recorder, smiles),
            starting_population_smiles=set(start),
            sampling_func=uniform_quantile_sampling,
            offspring_gen_func=graph_ga_blended_generation,
            selection_func=heapq.nlargest,
            max_generations=GENERATIONS_PER_CALL * budget,
            population_size=spec.population,
            offspring_size=spec.offspring,
            rng=random.Random(seed),
        )
    except BudgetExhausted:
        ended = "budget"
    return list(recorder.values), list(recorder.values.values()), ended


def _in_order(recorder: Recorder, smiles: Sequence[str]) -> list[float]:
    """Scores (N,), asked for in alphabetical order: mol_ga gives them in that of a set, which each process shuffles."""
    ordered = sorted(smiles)
    scores = dict(zip(ordered, recorder(ordered), strict=True))
    return [scores[s] for s in smiles]
