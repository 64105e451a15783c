"""SMILES to ids and back: round trips, refusals, and the known failures of SELFIES and RDKit."""

from __future__ import annotations

import threading
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import selfies
from hypothesis import given, settings
from hypothesis import strategies as st

from molvae.chem.molecules import Standardiser, canonical
from molvae.core.errors import CheckpointError, DataError, MoleculeError
from molvae.core.files import read_json, write_json
from molvae.tokens.tokenizer import Tokenizer, default_constraints, to_symbols
from molvae.tokens.vocabulary import BOS, EOS, PAD, Vocabulary

CONSTRAINTS = default_constraints()
ALPHABET = sorted(selfies.get_semantic_robust_alphabet())
TOKENIZER = Tokenizer(Vocabulary.from_symbols([*ALPHABET, "[#Branch3]"]), max_length=200)


# --- round trips ----------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=40))
def test_any_molecule_that_selfies_can_spell_survives_or_is_refused(symbols: list[str]) -> None:
    """Random SELFIES give molecules of any kind: they come back from encode and decode, or encode raises."""
    smiles = canonical(selfies.decoder("".join(symbols)))
    if smiles is None or "." in smiles:
        return
    try:
        ids = TOKENIZER.encode(smiles)
    except MoleculeError:
        return
    assert TOKENIZER.decode(ids) == smiles


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, len(TOKENIZER.vocabulary) - 1), max_size=60))
def test_any_ids_decode_to_a_canonical_molecule_or_none(ids: list[int]) -> None:
    smiles = TOKENIZER.decode(ids)
    assert smiles is None or (smiles != "" and canonical(smiles) == smiles)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="CNOcno[]()=#123+-@/\\. H%*", max_size=30))
def test_any_text_is_encoded_faithfully_or_refused(text: str) -> None:
    try:
        ids = TOKENIZER.encode(text)
    except MoleculeError:
        return
    assert TOKENIZER.decode(ids) == TOKENIZER.standardiser(text)


@pytest.mark.parametrize(
    "smiles",
    [
        "CC(C)(C)c1ccc2occ(CC(=O)Nc3ccccc3F)c2c1",
        "C[C@@H]1CC(Nc2cncc(-c3nncn3C)c2)C[C@@H](C)C1",
        "C/C=C\\C",
        "O=C([O-])[C@@H]([NH3+])Cc1c[nH]c2ccccc12",
        "O=S(=O)(c1ccc(Br)cc1)N1CCOCC1",
        "C1CC2CCC1CC2",
        "[2H]C([2H])([2H])O",
        "c1ccc2c(c1)ccc1ccccc12",  # kekulisation, selfies issues 55 and 120
        "O=c1cc[nH]cc1",
        "C[N+](C)(C)CC(=O)[O-]",
        "[O-][n+]1ccccc1",
    ],
)
def test_drug_like_molecules_round_trip(smiles: str) -> None:
    expected = canonical(smiles)
    assert expected is not None
    symbols = to_symbols(expected, CONSTRAINTS)
    tokenizer = Tokenizer(Vocabulary.from_symbols(symbols), max_length=100)
    ids = tokenizer.encode(smiles)
    assert ids.dtype == np.int64
    assert ids[-1] == EOS
    assert len(ids) == len(symbols) + 1
    assert tokenizer.decode(ids) == expected


# --- refusals -------------------------------------------------------------------------------------------------------


def small(max_length: int = 10) -> Tokenizer:
    return Tokenizer(Vocabulary.from_symbols(["[C]", "[O]"]), max_length)


def test_unknown_token_is_named() -> None:
    with pytest.raises(MoleculeError, match=r"unknown token \[N\]") as caught:
        small().encode("CCN")
    assert (caught.value.smiles, caught.value.reason) == ("CCN", "unknown token [N]")


def test_length_counts_the_end_token() -> None:
    assert len(small().encode("CCCCCCCCO")) == 10
    with pytest.raises(MoleculeError, match="longer than 9 tokens"):
        small().encode("CCCCCCCCCO")


def test_decode_stops_at_the_first_end_and_skips_padding() -> None:
    c, o = small().vocabulary.ids["[C]"], small().vocabulary.ids["[O]"]
    assert small().decode([BOS, c, PAD, o, EOS, c, c]) == "CO"
    assert small().decode(np.array([c, c], dtype=np.uint8)) == "CC"


# --- failures known from the libraries ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "smiles",
    [
        "Cc1ccc2c(c1)-n1-c(=O)/c=c\\c(=O)-n-2-c2cc(C)ccc2-1",  # rdkit 5078, 4969
        "c1ccccc",
        "CN(C)(C)C",
    ],
)
def test_what_rdkit_refuses_never_reaches_selfies(smiles: str) -> None:
    """selfies.encoder takes some of these and gives a different molecule."""
    with pytest.raises(MoleculeError, match="not a valid SMILES"):
        TOKENIZER.encode(smiles)


@pytest.mark.parametrize(
    "smiles", ["*CC", "[Na+].[Cl-]", "C->[Fe]", "OI(O)(O)(O)(O)=O", "F[Xe]F", "C[Pt](C)(Cl)(Cl)(Cl)Cl"]
)
def test_what_selfies_cannot_express_is_refused_and_never_changed(smiles: str) -> None:
    tokenizer = Tokenizer(TOKENIZER.vocabulary, 200, Standardiser(fragments="largest"))
    try:
        ids = tokenizer.encode(smiles)
    except MoleculeError:
        return
    assert tokenizer.decode(ids) == tokenizer.standardiser(smiles)


@pytest.mark.parametrize("smiles", ["*CC", "C->[Fe]"])
def test_wildcards_and_dative_bonds_are_refused(smiles: str) -> None:
    """selfies issues 44 and 73."""
    with pytest.raises(MoleculeError, match="SELFIES cannot express it"):
        TOKENIZER.encode(smiles)


@pytest.mark.parametrize("smiles", ["O=N(=O)c1ccccc1", "O=N(=O)C", "[O-]Cl(=O)(=O)=O", "CN=N#N"])
def test_pentavalent_writing_is_normalised_before_encoding(smiles: str) -> None:
    """selfies.encoder raises on these (issues 53, 99, 113) and changes them with strict=False."""
    expected = canonical(smiles)
    assert expected is not None
    symbols = to_symbols(expected, CONSTRAINTS)
    assert canonical(selfies.decoder("".join(symbols))) == expected


def test_empty_decode_is_no_molecule() -> None:
    assert TOKENIZER.decode([]) is None
    assert TOKENIZER.decode([EOS]) is None
    ring = TOKENIZER.vocabulary.ids["[Ring1]"]
    assert TOKENIZER.decode([ring, ring]) is None


def test_charged_carbon_phosphorus_and_sulphur_decode_to_valid_molecules() -> None:
    """selfies issue 127, fixed in 2.2.0: valences beyond RDKit's."""
    charged = [s for s in ALPHABET if any(x in s for x in ("C+", "C-", "P+", "P-", "S+", "S-"))]
    assert charged
    rng = np.random.default_rng(0)
    for _ in range(300):
        text = "".join(rng.choice(charged, size=12))
        decoded = selfies.decoder(text)
        assert decoded == "" or canonical(decoded) is not None, text


def test_constraints_of_the_module_do_not_matter() -> None:
    """SELFIES keeps its constraints in a module global, which another library may change at any time."""
    ids = TOKENIZER.encode("CS(=O)(=O)C")
    selfies.set_semantic_constraints("octet_rule")
    try:
        assert TOKENIZER.decode(ids) == "CS(C)(=O)=O"
        selfies.set_semantic_constraints("octet_rule")
        np.testing.assert_array_equal(TOKENIZER.encode("CS(=O)(=O)C"), ids)
    finally:
        selfies.set_semantic_constraints("default")


def test_own_constraints_stay_with_the_tokenizer(tmp_path: Path) -> None:
    octet = dict(selfies.get_preset_constraints("octet_rule"))
    vocabulary = Vocabulary.from_symbols(["[C]", "[S]", "[=O]", "[Branch1]", "[=Branch1]"])
    strict, loose = Tokenizer(vocabulary, 20, constraints=octet), Tokenizer(vocabulary, 20)
    strict.save(tmp_path / "vocabulary.json")
    loaded = Tokenizer.load(tmp_path / "vocabulary.json")
    assert loaded == strict
    ids = loose.encode("CS(=O)(=O)C")
    assert loaded.decode(ids) == strict.decode(ids) != loose.decode(ids) == "CS(C)(=O)=O"


def test_threads_decode_alike() -> None:
    ids = TOKENIZER.encode("O=S(=O)(c1ccc(Br)cc1)N1CCOCC1")
    found: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: found.extend(TOKENIZER.decode(ids) for _ in range(20))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {"O=S(=O)(c1ccc(Br)cc1)N1CCOCC1"}
    assert len(found) == 80


# --- files ----------------------------------------------------------------------------------------------------------


def test_saved_tokenizer_is_the_same(tmp_path: Path) -> None:
    tokenizer = Tokenizer(Vocabulary.from_symbols(["[C]"]), 30, Standardiser("neutralise", "largest", "drop"))
    tokenizer.save(tmp_path / "vocabulary.json")
    assert Tokenizer.load(tmp_path / "vocabulary.json") == tokenizer
    assert read_json(tmp_path / "vocabulary.json")["selfies_version"] == version("selfies")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"tokens": ["[C]"]}',
        '{"tokens": ["[C]"], "max_length": 3, "standardiser": {}, "constraints": {}}',
    ],
)
def test_file_that_is_no_vocabulary(tmp_path: Path, content: str) -> None:
    (tmp_path / "vocabulary.json").write_text(content)
    with pytest.raises(CheckpointError, match="not a vocabulary written by molvae"):
        Tokenizer.load(tmp_path / "vocabulary.json")


def test_unknown_standardisation_is_refused(tmp_path: Path) -> None:
    small().save(tmp_path / "vocabulary.json")
    value = read_json(tmp_path / "vocabulary.json")
    write_json(tmp_path / "vocabulary.json", value | {"standardiser": {"colour": "blue"}})
    with pytest.raises(CheckpointError):
        Tokenizer.load(tmp_path / "vocabulary.json")


# --- vocabulary -----------------------------------------------------------------------------------------------------


def test_vocabulary_does_not_depend_on_order() -> None:
    first, second = (
        Vocabulary.from_symbols(["[O]", "[C]", "[C]", "[N]"]),
        Vocabulary.from_symbols(["[N]", "[O]", "[C]"]),
    )
    assert first == second
    assert first.sha256 == second.sha256 != Vocabulary.from_symbols(["[C]"]).sha256
    assert first.tokens[:3] == ("[pad]", "[bos]", "[eos]")
    assert [first.ids[token] for token in first.tokens] == list(range(len(first)))


@pytest.mark.parametrize("tokens", [("[C]",), ("[pad]", "[bos]", "[eos]", "[C]", "[C]")])
def test_wrong_vocabularies_are_refused(tokens: tuple[str, ...]) -> None:
    with pytest.raises(DataError):
        Vocabulary(tokens)
