"""Edits of molecular graphs on real drugs: what comes out is one sound molecule, and what goes in stays as it was."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from molvae.chem.molecules import canonical
from molvae.search.graph_crossover import crossover
from molvae.search.graph_moves import (
    GROUPS,
    LINKERS,
    MOVES,
    Move,
    append_atom,
    attach_group,
    change_atom,
    change_bond,
    delete_group,
    exchange_group,
    insert_linker,
    move_atom,
    move_group,
    moved,
    mutate,
    swap_atoms,
    swap_groups,
)
from molvae.search.graphs import editable, finished

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
        child = moved(move, parent, rng)
        assert parent.ToBinary() == before
        if child is not None:
            text = Chem.MolToSmiles(child)
            assert "." not in text
            assert canonical(text) is not None
            made += canonical(text) != smiles
    assert made >= 5, "a move that hardly ever works is no move"


def test_moves_reach_every_element_that_drugs_are_made_of() -> None:
    rng, found = np.random.default_rng(0), set[str]()
    for _ in range(1500):
        child = moved(append_atom, ready("CC(C)Cc1ccc(C(C)C(=O)O)cc1"), rng)
        found |= {atom.GetSymbol() for atom in child.GetAtoms()} if child is not None else set()
    assert found == {"C", "N", "O", "F", "P", "S", "Cl", "Br", "I"}


@pytest.mark.parametrize(
    ("move", "smiles", "labelled"), [(change_atom, "[2H]C([2H])([2H])Oc1ccccc1", "H"), (swap_atoms, "[13CH3]OCCN", "C")]
)
def test_an_atom_that_becomes_another_element_has_no_isotope(move: Move, smiles: str, labelled: str) -> None:
    rng = np.random.default_rng(0)
    changed = [move(Chem.RWMol(Chem.MolFromSmiles(smiles)), rng) for _ in range(100)]
    found = [atom for mol in changed if mol is not None for atom in mol.GetAtoms()]
    assert len(found) > 100
    assert {atom.GetSymbol() for atom in found if atom.GetIsotope()} == {labelled}


def test_moves_have_weights_that_sum_to_one() -> None:
    assert sum(MOVES.values()) == pytest.approx(1)


def children(move: Move, smiles: str, n: int = 60) -> list[Chem.Mol]:
    """What comes of a move, where it applies."""
    rng, parent = np.random.default_rng(3), ready(smiles)
    drawn = (moved(move, parent, rng) for _ in range(n))
    return [child for child in drawn if child is not None]


@pytest.mark.parametrize("smiles", DRUGS[:3])
@pytest.mark.parametrize("move", [swap_groups, move_group, move_atom, swap_atoms], ids=lambda move: move.__name__)
def test_moves_that_rearrange_keep_the_heavy_atoms(move: Move, smiles: str) -> None:
    def elements(mol: Chem.Mol) -> list[int]:
        return sorted(atom.GetAtomicNum() for atom in mol.GetAtoms())

    found = children(move, smiles)
    assert len(found) > 5
    assert {str(elements(child)) for child in found} == {str(elements(Chem.MolFromSmiles(smiles)))}
    assert len({Chem.MolToSmiles(child) for child in found}) > 5


def test_swapped_groups_hang_where_the_other_hung() -> None:
    found = {Chem.MolToSmiles(child) for child in children(swap_groups, "Clc1ccc(CC#N)nc1")}
    assert found == {"N#CCc1ccc(Cl)nc1", "N#Cc1ccc(CCl)nc1"}


def test_a_deleted_group_is_the_smaller_part_beyond_a_bond() -> None:
    found = {Chem.MolToSmiles(child) for child in children(delete_group, "c1ccc2ccccc2c1CCO")}
    assert found == {"c1ccc2ccccc2c1", "Cc1cccc2ccccc12", "CCc1cccc2ccccc12"}


def test_a_linker_parts_what_was_bound() -> None:
    found = children(insert_linker, "Fc1ccccc1Cl")
    assert len(found) > 40
    halogens = Chem.MolFromSmarts("[F,Cl]c1ccccc1[!F;!Cl]")
    assert all(child.HasSubstructMatch(halogens) and child.GetNumAtoms() > 9 for child in found)


@pytest.mark.parametrize("move", [change_atom, change_bond], ids=lambda move: move.__name__)
def test_changes_respect_valence_most_of_the_time(move: Move) -> None:
    assert all(len(children(move, smiles)) > 30 for smiles in DRUGS)


@pytest.mark.parametrize("text", LINKERS)
def test_linkers_are_molecules_that_bind_by_their_first_and_last_atoms(text: str) -> None:
    linker = ready(text)
    whole = Chem.RWMol(Chem.CombineMols(Chem.CombineMols(ready("c1ccccc1"), linker), ready("c1ccncc1")))
    whole.AddBond(0, 6, Chem.BondType.SINGLE)
    whole.AddBond(5 + linker.GetNumAtoms(), 6 + linker.GetNumAtoms(), Chem.BondType.SINGLE)
    child = finished(whole)
    assert child is not None
    assert not any(atom.GetNumRadicalElectrons() for atom in child.GetAtoms())
    assert canonical(Chem.MolToSmiles(child)) == Chem.MolToSmiles(child)


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
        child = moved(attach_group, ready(smiles), rng)
        assert child is not None
        assert child.HasSubstructMatch(Chem.MolFromSmiles(smiles))
        assert child.GetNumAtoms() > Chem.MolFromSmiles(smiles).GetNumAtoms()


def test_an_exchanged_group_leaves_the_larger_part() -> None:
    rng, parent = np.random.default_rng(2), "c1ccc2ccccc2c1CCO"
    drawn = [moved(exchange_group, ready(parent), rng) for _ in range(30)]
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
