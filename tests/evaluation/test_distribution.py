"""Distribution metrics against MOSES' own values, and against RDKit and plain loops."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molvae.core.errors import DataError
from molvae.core.files import read_json
from molvae.evaluation.distribution import (
    Distribution,
    brics_fragments,
    compare,
    cosine,
    fingerprints,
    internal_diversity,
    nearest_similarity,
    scaffolds,
)

SMILES = ["CCO", "c1ccccc1C(=O)NC1CC1", "CC(=O)Oc1ccccc1C(=O)O", "C1CCNCC1", "FC(F)(F)c1ccc(cc1)-c1ccncc1"]


@pytest.fixture(scope="module")
def moses(shared: Path) -> tuple[dict[str, Any], list[str], list[str]]:
    """MOSES' values, the generated list and the reference list they belong to."""
    reference = read_json(shared / "reference" / "moses_reference.json")
    zinc = pd.read_csv(shared / "data" / "zinc250k.csv.gz")["canonical_smiles"]
    lists = [zinc.iloc[reference[name]].tolist() for name in ("gen_A_indices", "reference_indices")]
    return reference["results"], lists[0], lists[1]


@pytest.fixture(scope="module")
def compared(moses: tuple[dict[str, Any], list[str], list[str]]) -> Distribution:
    return compare(moses[1], moses[2])


@pytest.mark.integration
def test_equal_to_moses(moses: tuple[dict[str, Any], list[str], list[str]], compared: Distribution) -> None:
    expected = moses[0]["moses_get_all_metrics_A"]
    found = {
        "valid": compared.validity,
        "unique@3000": compared.uniqueness,
        "Novelty": compared.novelty,
        "SNN/Test": compared.snn,
        "Frag/Test": compared.fragments,
        "Scaf/Test": compared.scaffolds,
        "IntDiv": compared.internal_diversity,
        "IntDiv2": compared.internal_diversity_2,
        "logP": compared.wasserstein["logP"],
        "SA": compared.wasserstein["sa"],
        "QED": compared.wasserstein["qed"],
        "weight": compared.wasserstein["weight"],
    }
    assert found == pytest.approx({name: expected[name] for name in found}, rel=1e-5, abs=1e-6)


@pytest.mark.integration
def test_pieces_equal_those_of_moses(moses: tuple[dict[str, Any], list[str], list[str]]) -> None:
    detail = moses[0]["moses_detail_A"]
    mols = [Chem.MolFromSmiles(s) for s in moses[1]]
    fragments, found = brics_fragments(mols), scaffolds(mols)
    assert (len(fragments), fragments.total()) == (detail["n_distinct_brics_fragments"], detail["n_brics_fragments"])
    assert (len(found), found.total()) == (detail["n_distinct_scaffolds"], detail["n_scaffolds"])
    assert dict(detail["top_fragments"]).items() <= fragments.items()
    assert dict(detail["top_scaffolds"]).items() <= found.items()


def test_similarities_equal_rdkit_pair_by_pair() -> None:
    mols = [Chem.MolFromSmiles(s) for s in SMILES]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    prints = [generator.GetFingerprint(mol) for mol in mols]
    similarity = np.array([[DataStructs.TanimotoSimilarity(a, b) for b in prints] for a in prints])
    bits = fingerprints(mols)
    expected = (1 - similarity.mean(), 1 - np.sqrt((similarity**2).mean(1)).mean())
    assert internal_diversity(bits) == pytest.approx(expected, abs=1e-6)
    assert nearest_similarity(bits[:2], bits[2:]) == pytest.approx(similarity[:2, 2:].max(1).mean(), abs=1e-6)


def test_counting_valid_distinct_and_new() -> None:
    generated = ["CCO", "OCC", "CCN", "not a molecule", None, "", "CCC"]
    found = compare(generated, ["CCC", "c1ccccc1"], train=["NCC", "CC"])
    assert (found.n_generated, found.n_valid) == (7, 4)
    assert found.validity == pytest.approx(4 / 7)
    assert found.uniqueness == pytest.approx(3 / 4)
    assert found.novelty == pytest.approx(2 / 3)  # CCN is known, however it is written
    assert compare(["CCO", "CCN"], ["OCC"]).novelty == 0.5


def test_a_set_compared_with_itself() -> None:
    found = compare(SMILES, SMILES)
    assert (found.snn, found.fragments, found.scaffolds) == pytest.approx((1, 1, 1))
    assert found.novelty == 0
    assert set(found.wasserstein.values()) == {0.0}


def test_nothing_to_compare() -> None:
    assert math.isnan(compare(["CCO"], ["CCN"]).scaffolds)
    assert compare(["CCO"], ["CCN"]).as_dict()["scaffolds"] is None
    assert cosine({"a": 2}, {"b": 3}) == 0
    with pytest.raises(DataError, match="none of the generated"):
        compare(["x", None], SMILES)
    with pytest.raises(DataError, match="none of the reference"):
        compare(SMILES, ["x"])
