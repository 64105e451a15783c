"""Edits of molecular graphs on real drugs: what comes out is one sound molecule, and what goes in stays as it was."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from molvae.chem.molecules import canonical
from molvae.search.graph_edits import (
    GROUPS,
    MOVE_WEIGHTS,
    MOVES,
    Move,
    attach_group,
    crossover,
    editable,
    exchange_group,
    finished,
    mutate,
)

DRUGS = (
    "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",  # celecoxib
    "CN(C)CCN(C)c1cc(OC)c(Nc2nccc(-c3cn(C)c4ccccc34)n2)cc1NC(=O)C=C",  # osimertinib
    "CCCCc1nc(Cl)c(CO)n1Cc1ccc(-c2ccccc2-c2nnn[nH]2)cc1",  # losartan
    "C[C@]12CC[C@H]3[C@@H](CCC4=CC(=O)CC[C@@]43C)[C@@H]1CC[C@@H]2O",  # testosterone
    "C[NH+]1CCC[C@H]1c1cccnc1",  # nicotine, protonated
)


def ready(smiles: str) -> Chem.Mol:
    """A drug, ready to be edited."""
    mol = editable(Chem.MolFromSmiles(smiles))
    assert mol is not None
    return mol


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.__name__)
def test_a_move_gives_one_sound_molecule_or_none(move: Move) -> None:
    rng, made = np.random.default_rng(0), 0
    for smiles in DRUGS * 8:
        parent = ready(smiles)
        before = parent.ToBinary()
        child = finished(move(Chem.RWMol(parent), rng))
        assert parent.ToBinary() == before
        if child is not None:
            text = Chem.MolToSmiles(child)
            assert "." not in text
            assert canonical(text) is not None
            made += canonical(text) != smiles
    assert made >= 5, "a move that hardly ever works is no move"


def test_moves_have_weights_that_sum_to_one() -> None:
    assert len(MOVES) == len(MOVE_WEIGHTS)
    assert MOVE_WEIGHTS.sum() == pytest.approx(1)


@pytest.mark.parametrize("text", GROUPS)
def test_groups_are_molecules_that_bind_by_their_first_atom(text: str) -> None:
    whole = Chem.RWMol(Chem.CombineMols(ready("c1ccccc1"), ready(text)))
    whole.AddBond(0, 6, Chem.BondType.SINGLE)
    child = finished(whole)
    assert child is not None
    assert not any(atom.GetNumRadicalElectrons() for atom in child.GetAtoms())
    assert canonical(Chem.MolToSmiles(child)) == Chem.MolToSmiles(child)


def test_an_attached_group_leaves_the_parent_whole() -> None:
    rng = np.random.default_rng(1)
    for smiles in DRUGS * 5:
        child = finished(attach_group(Chem.RWMol(ready(smiles)), rng))
        assert child is not None
        assert child.HasSubstructMatch(Chem.MolFromSmiles(smiles))
        assert child.GetNumAtoms() > Chem.MolFromSmiles(smiles).GetNumAtoms()


def test_an_exchanged_group_leaves_the_larger_part() -> None:
    rng, parent = np.random.default_rng(2), "c1ccc2ccccc2c1CCO"
    drawn = [finished(exchange_group(Chem.RWMol(ready(parent)), rng)) for _ in range(30)]
    children = [child for child in drawn if child is not None]  # the bonds drawn may all be in rings
    assert len(children) > 15
    assert all(child.HasSubstructMatch(Chem.MolFromSmiles("c1ccc2ccccc2c1")) for child in children)


def test_mutations_and_crossovers_follow_the_generator() -> None:
    a, b = ready(DRUGS[0]), ready(DRUGS[1])
    for edit in (lambda rng: mutate(a, rng), lambda rng: crossover(a, b, rng)):
        first, again = ([edit(np.random.default_rng(seed)) for seed in range(10)] for _ in range(2))
        texts = [[None if mol is None else Chem.MolToSmiles(mol) for mol in found] for found in (first, again)]
        assert texts[0] == texts[1]
        assert len(set(texts[0])) > 5
