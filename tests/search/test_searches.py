"""The contract of every search and every proposer, written once."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import selfies
from rdkit import Chem
from search_molecules import MOLECULES

from molvae.chem.molecules import canonical
from molvae.core.errors import ConfigError, DataError
from molvae.search import structural
from molvae.search.ask_tell import Search
from molvae.search.bayesian import BayesianSearch, InnerSpec
from molvae.search.latent import LatentMove, LatentProposals, LatentSpace
from molvae.search.methods import BayesianSpec, EvolutionSpec, OptunaSpec, PriorSpec, Setting, TurboSpec
from molvae.search.proposals import Candidate, Parents, Proposer
from molvae.search.specs import (
    DecoderEditsSpec,
    GraphCrossoverSpec,
    GraphMutationSpec,
    InterpolationSpec,
    LogEISpec,
    MaskCrossoverSpec,
    PerturbationSpec,
    PriorDrawSpec,
    SelfiesCrossoverSpec,
    SelfiesEditsSpec,
    StochasticDecodingSpec,
    ThompsonSpec,
)
from molvae.search.structural import SelfiesCrossover, SelfiesEdits

INNER = InnerSpec(generations=2, candidates=8, immigrants=5)
STRUCTURAL = (GraphMutationSpec(), GraphCrossoverSpec())
METHODS = {
    "default": BayesianSpec(inner=INNER),
    "structural": BayesianSpec(inner=INNER, proposers=STRUCTURAL),
    "islands": BayesianSpec(inner=INNER, restart=2, proposers=STRUCTURAL),
    "log_ei": BayesianSpec(inner=INNER, acquisition=LogEISpec(), proposers=STRUCTURAL),
    "thompson": BayesianSpec(inner=INNER, acquisition=ThompsonSpec(), proposers=STRUCTURAL),
    "turbo": TurboSpec(candidates=32, points=16),
    "tpe": OptunaSpec(sampler="tpe"),
    "cmaes": OptunaSpec(sampler="cmaes"),
    "gp": OptunaSpec(sampler="gp"),
    "evolution": EvolutionSpec(population=6),
    "prior": PriorSpec(temperature=1.0),
    "random latent": PriorSpec(),
}
PROPOSERS = (
    GraphMutationSpec(), GraphCrossoverSpec(), SelfiesEditsSpec(), SelfiesCrossoverSpec(), PerturbationSpec(),
    MaskCrossoverSpec(), InterpolationSpec(), StochasticDecodingSpec(), PriorDrawSpec(), DecoderEditsSpec(),
)  # fmt: skip
Make = Callable[..., Search]


SLOW = {"gp"}  # a second and more for each molecule


@pytest.fixture(
    params=[pytest.param(m, marks=pytest.mark.integration) if m in SLOW else m for m in METHODS], ids=list(METHODS)
)
def make(request: pytest.FixtureRequest, model: Any) -> Make:
    """Makes the same search again and again."""

    def build(seed: int = 0, start: tuple[str, ...] = tuple(MOLECULES[:6]), accept: Any = lambda mol: True) -> Search:
        return METHODS[request.param].build(Setting(model, seed, start, accept))

    return build


def size(smiles: str) -> float:
    """A score that needs no chemistry: nearness to 12 heavy atoms."""
    return -abs(Chem.MolFromSmiles(smiles).GetNumHeavyAtoms() - 12.0)


def play(search: Search, batches: int, n: int = 3) -> list[str]:
    """Ask and tell; returns what was asked for."""
    asked: list[str] = []
    for _ in range(batches):
        found = [c.smiles for c in search.ask(n)]
        search.tell(found, [size(s) for s in found])
        asked += found
    return asked


def test_asks_for_the_start_then_for_distinct_new_canonical_molecules(make: Make) -> None:
    asked = play(make(), 5)
    assert asked[:6] == MOLECULES[:6]
    assert len(asked) > 6
    assert len(set(asked)) == len(asked)
    assert [canonical(s) for s in asked] == asked


def test_same_seed_same_molecules_other_seed_others(make: Make) -> None:
    first = play(make(seed=1), 5)
    assert play(make(seed=1), 5) == first
    assert play(make(seed=2), 5) != first


def test_asking_twice_gives_the_same(make: Make) -> None:
    search = make()
    play(search, 3)
    assert search.ask(3) == search.ask(3)


def test_state_survives_json(make: Make) -> None:
    search = make()
    play(search, 4)
    state = json.loads(json.dumps(search.state_dict()))
    again = make()
    again.load_state_dict(state)
    assert again.values == search.values
    assert play(again, 2) == play(search, 2)


class Counting(Proposer):
    """Makes nothing, and notes how much it was asked for each time."""

    name = "counting"

    def __init__(self, at_once: bool = False) -> None:
        self.at_once, self.asked = at_once, list[int]()

    def propose(self, parents: Parents, n: int, rng: np.random.Generator) -> list[Candidate]:
        self.asked.append(n)
        return []


@pytest.mark.parametrize(("batch", "tried"), [(1, 2 * 8), (2, 2 * 16), (3, 2 * 20), (50, 2 * 20)])
def test_proposals_grow_with_the_batch_up_to_the_most(batch: int, tried: int) -> None:
    proposer = Counting()
    search = BayesianSearch([(proposer, 1.0)], inner=InnerSpec(generations=2, candidates=8, most=20))
    search.tell(MOLECULES[:3], [1.0, 2.0, 3.0])
    assert search.ask(batch) == []
    assert sum(proposer.asked) == tried


@pytest.mark.parametrize("alone", [False, True])
def test_a_few_proposals_at_once_are_put_off_where_others_come_anyway(alone: bool) -> None:
    few, others, batches = Counting(at_once=True), Counting(), 150
    proposers = [(few, 1.0)] if alone else [(few, 0.25), (others, 0.75)]
    search = BayesianSearch(proposers, inner=InnerSpec(generations=2, candidates=16))
    for n in range(batches):
        search.tell(["C" * (n + 1)], [float(n)])
        search.ask(1)
    assert len(few.asked) == batches if alone else len(few.asked) < batches / 3
    assert alone or min(few.asked) >= 40
    assert sum(few.asked) == pytest.approx(batches * 32 * (1.0 if alone else 0.25), rel=0.3)
    assert alone or sum(others.asked) == pytest.approx(batches * 32 * 0.75, rel=0.05)


def test_a_search_forgets_what_its_surrogate_has_no_room_for() -> None:
    spec = BayesianSpec(inner=INNER.model_copy(update={"memory": 8}), proposers=STRUCTURAL)
    search, whole = (s.build(Setting(start=MOLECULES[:6])) for s in (spec, METHODS["structural"]))
    assert isinstance(search, BayesianSearch)
    assert play(search, 3) == play(whole, 3)
    sizes = []
    for _ in range(6):
        play(search, 1)
        sizes.append(len(search.surrogate))
    assert max(sizes) <= 10
    assert len(search.surrogate) < len(search.values)
    assert set(search.goal.ranked(4)) <= set(search._known)


def test_failed_scores_are_taken_and_not_asked_again(make: Make) -> None:
    search = make()
    first = [c.smiles for c in search.ask(6)]
    search.tell(first, [math.nan, math.inf, *[1.0] * 4])
    assert math.isnan(search.values[first[0]])
    assert math.isnan(search.values[first[1]])
    following = [c.smiles for c in search.ask(3)]
    assert not set(following) & set(first)
    search.tell(following, [math.nan] * len(following))
    assert not {c.smiles for c in search.ask(3)} & {*first, *following}


def test_what_is_not_acceptable_is_not_asked_for(make: Make) -> None:
    search = make(accept=lambda mol: mol.GetNumHeavyAtoms() <= 10)
    asked = play(search, 4)[6:]
    assert all(Chem.MolFromSmiles(s).GetNumHeavyAtoms() <= 10 for s in asked)


def test_may_be_told_what_was_never_asked_for(make: Make) -> None:
    search = make(start=())
    search.tell(MOLECULES[:8], [size(s) for s in MOLECULES[:8]])
    assert not {c.smiles for c in search.ask(3)} & set(MOLECULES[:8])


def test_misuse_raises(make: Make) -> None:
    search = make()
    with pytest.raises(DataError, match="one value for each"):
        search.tell(["CCO"], [1.0, 2.0])
    search.tell(["CCO"], [1.0])
    with pytest.raises(DataError, match="told nothing yet"):
        search.load_state_dict(make().state_dict())
    with pytest.raises(DataError, match="seed"):
        make(seed=1).load_state_dict(make(seed=2).state_dict())


@pytest.fixture(params=PROPOSERS, ids=lambda spec: spec.kind)
def proposer(request: pytest.FixtureRequest, model: Any) -> Proposer:
    """Each kind of proposal."""
    built = request.param.build(LatentSpace(model))
    return LatentProposals(LatentSpace(model), [(built, 1.0)]) if isinstance(built, LatentMove) else built


def test_proposals_follow_the_generator_alone(proposer: Proposer) -> None:
    parents = Parents(tuple(MOLECULES))
    first = proposer.propose(parents, 40, np.random.default_rng(5))
    assert 0 < len(first) <= 40
    assert proposer.propose(parents, 40, np.random.default_rng(5)) == first
    assert all(canonical(c.smiles) for c in first)
    assert len({c.smiles for c in first} - set(MOLECULES)) > 1
    assert {c.origin for c in first} == {proposer.moves[0][0].name if hasattr(proposer, "moves") else proposer.name}


@pytest.mark.parametrize("odd", ["C", "[Na+].[Cl-]", "[Fe]", "O=Cl(=O)(=O)O", "C" * 200, "[2H]C([2H])O", "CCCCO.Cl"])
def test_proposers_survive_odd_parents(proposer: Proposer, odd: str) -> None:
    for candidate in proposer.propose(Parents((odd,)), 5, np.random.default_rng(0)):
        assert isinstance(candidate.smiles, str)


def test_latent_proposals_without_a_model_are_refused() -> None:
    with pytest.raises(ConfigError, match="need a model"):
        BayesianSpec().build(Setting())
    assert not BayesianSpec(proposers=STRUCTURAL).needs_model


@pytest.mark.parametrize("proposer", [SelfiesEdits(), SelfiesCrossover()])
def test_selfies_are_read_and_written_by_constraints_of_our_own(proposer: Proposer) -> None:
    parents = Parents(("CS(=O)(=O)Nc1ccccc1", "CCOC(=O)CP(=O)(O)O"))
    before = proposer.propose(parents, 30, np.random.default_rng(0))
    structural._symbols.cache_clear()
    selfies.set_semantic_constraints("octet_rule")
    try:
        assert proposer.propose(parents, 30, np.random.default_rng(0)) == before
    finally:
        selfies.set_semantic_constraints("default")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"acquisition": {"kind": "ucb", "log10_weight": [0.5, -1.5]}}, "from low to high, got 0.5 to -1.5"),
        ({"acquisition": {"kind": "chebyshev", "log10_weight": [0, "inf"]}}, "finite"),
        ({"proposers": [{"kind": "latent_perturbation", "scale": [2.0, 0.3]}]}, "from low to high"),
        ({"proposers": [{"kind": "graph_mutation", "share": 0.0}]}, "share above 0"),
    ],
)
def test_what_would_fail_in_the_middle_of_a_search_is_refused_before(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BayesianSpec.model_validate(changed)


def test_latent_points_do_not_depend_on_what_was_asked_before(model: Any) -> None:
    fresh, used = LatentSpace(model), LatentSpace(model)
    for first in range(0, len(MOLECULES), 3):
        used.posterior(MOLECULES[first : first + 3])
    for one, other in zip(fresh.posterior(MOLECULES), used.posterior(MOLECULES), strict=True):
        np.testing.assert_array_equal(one, other)


def test_parents_are_drawn_by_rank() -> None:
    weights = Parents(tuple("abcd"), rank_offset=0.05).weights
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights[0] / weights, (1.2 + np.arange(4)) / 1.2)
