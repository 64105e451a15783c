"""When a search begins anew, and what it builds on then."""

from __future__ import annotations

import numpy as np
import pytest
from search_molecules import MOLECULES

from molvae.search.bayesian import BayesianSearch
from molvae.search.islands import Islands
from molvae.search.methods import BayesianSpec, Setting
from molvae.search.proposals import Candidate, Parents, Proposer
from molvae.search.specs import GraphMutationSpec


def observed(goal: Islands, *scores: float) -> None:
    """Show it one molecule after another, named by their number."""
    for score in scores:
        goal.observe([str(len(goal.ranked(10**6)))], np.array([score]))


def test_an_island_begins_when_the_ten_best_stay_and_all_compete_again_when_its_own_do() -> None:
    goal = Islands(patience=3, n_first=2)
    assert goal.progress == (0.0, 0)
    observed(goal, *range(10))
    assert goal.parents(3) == goal.ranked(3) == ["9", "8", "7"]
    observed(goal, 0.0, -1.0, 0.5, -1.0, -1.0)  # 0.5 joins the ten
    assert (goal.phase, goal.progress) == (0, (9.0, 5))
    observed(goal, -1.0)
    assert (goal.phase, goal.progress) == (1, (1.0, 0))
    assert goal.parents(9) == ["1", "0"]
    assert goal.ranked(1) == ["9"], "what is known does not change"
    observed(goal, 0.5, 2.0)
    assert goal.parents(9) == ["17", "1", "16", "0"]
    assert goal.progress == (2.0, 0)
    observed(goal, *[0.1] * 10)  # seven of them join its ten best
    assert (goal.phase, goal.progress) == (2, (9.0, 0))
    assert goal.parents(2) == ["9", "8"]
    observed(goal, -2.0, -2.0, -2.0)
    assert goal.phase == 3
    assert goal.parents(9) == ["1", "0"], "the next island begins where the first did"


def test_a_long_beginning_is_no_standstill() -> None:
    goal = Islands(patience=3, n_first=50)
    observed(goal, *range(50, 0, -1))
    assert goal.phase == 0
    observed(goal, 0.0, 0.0)
    assert goal.phase == 0
    observed(goal, 0.0)
    assert goal.phase == 1


def test_molecules_given_twice_begin_once() -> None:
    search = BayesianSpec(proposers=(GraphMutationSpec(),)).build(Setting(start=["CCO", "OCC", "broken", "CCN"]))
    assert search.goal.n_first == 2  # type: ignore[attr-defined]


def test_without_patience_all_compete_for_ever() -> None:
    search = BayesianSpec(restart=0, proposers=BayesianSpec().proposers[:1]).build(Setting(start=MOLECULES[:2]))
    assert isinstance(search, BayesianSearch)
    search.tell(MOLECULES, [1.0, *[0.0] * (len(MOLECULES) - 1)])
    for n in range(1, 400):
        search.goal.observe(["C" * n], np.array([-1.0]))
    assert search.goal.phase == 0


class Noting(Proposer):
    """Proposes carbon chains, and notes the parents it was given."""

    name = "noting"

    def __init__(self) -> None:
        self.parents: list[tuple[str, ...]] = []

    def propose(self, parents: Parents, n: int, rng: np.random.Generator) -> list[Candidate]:
        self.parents.append(parents.smiles)
        return [Candidate("C" * int(k), self.name) for k in rng.integers(20, 60, n)]


@pytest.mark.parametrize("measured", [False, True])
def test_an_island_begins_with_start_and_measured_molecules_and_without_what_was_left(measured: bool) -> None:
    proposer = Noting()
    first, later = MOLECULES[:3], MOLECULES[3:6]
    goal = Islands(patience=5, n_first=3)
    search = BayesianSearch([(proposer, 1.0)], goal=goal, start=() if measured else first)
    if measured:
        search.learn(first, [0.1, 0.2, 0.3], [0.0] * 3)
    else:
        search.tell([c.smiles for c in search.ask(3)], [0.1, 0.2, 0.3])
    search.tell(later, [1.0, 1.0, 1.0])
    while goal.phase == 0:
        batch = [c.smiles for c in search.ask(2)]
        search.tell(batch, [0.0] * len(batch))
    proposer.parents.clear()
    search.ask(2)
    assert proposer.parents[0][:3] == tuple(reversed(first))
    assert set(proposer.parents[0]) == set(first), "nothing of the reserve"
