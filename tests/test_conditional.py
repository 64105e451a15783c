"""A conditional model, from a file to molecules with the properties asked for."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from small_model import prepare_with_sizes, small_molecules, small_vae

import molvae
from molvae.anomaly import MoleculeOutliers
from molvae.cli.doctor import examine
from molvae.core.errors import ConfigError, DataError, MoleculeError
from molvae.data.prepare import PrepareConfig, prepare
from molvae.data.splits import ColumnSplit
from molvae.embedding import MoleculeEmbedder, embed_file
from molvae.evaluation.held_out import held_out
from molvae.evaluation.likelihood import evaluate
from molvae.generation import MoleculeVAE, load
from molvae.model.bottlenecks import GaussianSpec
from molvae.model.objective import Constant, Objective
from molvae.model.vae import VAESpec
from molvae.search.build import load_model
from molvae.training.config import OptimiserSpec, TrainConfig, ValidationSpec
from molvae.training.trainer import train

SIZES = VAESpec(
    embedding_dim=16,
    encoder_dim=24,
    decoder_dim=48,
    token_dropout=0,
    condition_dim=1,
    bottleneck=GaussianSpec(latent_dim=8),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Told the number of heavy atoms; its rate is dear, so that the size is not hidden in the latent point as well."""
    folder = tmp_path_factory.mktemp("conditional")
    settings = TrainConfig(
        data=str(prepare_with_sizes(folder, 100)),
        device="cpu",
        precision="float32",
        threads=1,
        model=SIZES,
        objective=Objective(beta=Constant(value=1.0)),
        optimiser=OptimiserSpec(epochs=60, batch_size=25, learning_rate=2e-2, warmup_steps=5),
        validation=ValidationSpec(every_steps=1000, n_molecules=16),
    )
    return train(settings, folder / "run")


@pytest.fixture(scope="module")
def vae(model: Path) -> MoleculeVAE:
    return load(model, device="cpu")


def sizes(smiles: list[str]) -> np.ndarray:
    return np.array([Chem.MolFromSmiles(s).GetNumHeavyAtoms() for s in smiles])


@pytest.mark.integration
def test_molecules_have_the_size_asked_for(vae: MoleculeVAE) -> None:
    means = [sizes(vae.given(heavy_atoms=wanted).sample(200, rng=0)).mean() for wanted in (6, 9, 12)]
    assert means == pytest.approx([6, 9, 12], abs=1.0)


@pytest.mark.integration
def test_molecules_are_read_with_their_own_properties(vae: MoleculeVAE) -> None:
    molecules = small_molecules()[:6]
    told = vae.describe(molecules)
    learnt_from = sizes([m for i, m in enumerate(small_molecules()[:100]) if i % 4])
    expected = (sizes(molecules) - learnt_from.mean()) / learnt_from.std()
    np.testing.assert_allclose(told[:, 0], expected, rtol=1e-5)
    given = vae.given(heavy_atoms=12)
    np.testing.assert_array_equal(given.embed(molecules), vae.embed(molecules))
    z = vae.embed(molecules)
    assert vae.decode(z, properties=told) == vae.reconstruct(molecules)
    assert given.decode(z) == vae.decode(z, properties=given.told.target(6))
    assert given.decode(z) != vae.reconstruct(molecules)
    assert np.isfinite(vae.log_prob(molecules, k=4)).all()
    assert evaluate(vae, molecules, k=2).n_encoded == 6
    with pytest.raises(MoleculeError, match="at index 1"):
        vae.describe(["C", "no molecule"])
    assert np.isnan(vae.describe(["no molecule"], "nan")).all()


@pytest.mark.integration
def test_everything_that_decodes_goes_where_it_was_told(vae: MoleculeVAE) -> None:
    given, molecule = vae.given(heavy_atoms=9), small_molecules()[0]
    assert len(given.interpolate(*small_molecules()[:2], steps=3)) == 3
    assert given.neighbours(molecule, n=3, radius=3)
    assert given.redraw([molecule], vae.embed([molecule]), copies=3)[0]
    assert given.decode(vae.prior(2), beam_width=2)
    result = molvae.optimise("qed", budget=20, weights=given, start=small_molecules()[:5], seed=0)
    assert len(result.smiles) == 20


@pytest.mark.integration
def test_properties_to_decode_towards_have_a_row_for_each_point(vae: MoleculeVAE) -> None:
    z = vae.prior(2)
    assert vae.decode(z, properties=[[0.5], [1.0]]) == vae.decode(z, properties=np.array([[0.5], [1.0]]))  # type: ignore[arg-type]
    for wrong in (np.zeros((1, 1)), np.zeros((2, 2)), np.zeros(2)):
        with pytest.raises(ValueError, match=r"expected properties of shape \(2, 1\), a row for each point, got \("):
            vae.decode(z, properties=wrong)


@pytest.mark.integration
def test_where_to_go_must_be_said(vae: MoleculeVAE, model: Path) -> None:
    with pytest.raises(ConfigError, match=r"decodes towards properties; say which: given\(heavy_atoms=...\)"):
        vae.sample(3)
    with pytest.raises(ConfigError, match="no property 'heavy_atom'; did you mean 'heavy_atoms'"):
        vae.given(heavy_atom=3)
    with pytest.raises(ConfigError, match="a value is missing for heavy_atoms"):
        vae.given()
    with pytest.raises(ConfigError, match=r"decodes towards properties \(heavy_atoms\); search with it from Python"):
        load_model(model, "cpu")


def test_a_model_that_is_not_conditional_takes_no_properties(tiny_vae: MoleculeVAE) -> None:
    assert tiny_vae.properties == ()
    assert tiny_vae.describe(["CCO"]).shape == (1, 0)
    with pytest.raises(ConfigError, match="not conditioned on properties"):
        tiny_vae.given(logp=1)


def test_a_network_whose_properties_have_no_names_is_refused() -> None:
    with pytest.raises(ConfigError, match="the network wants 1 properties .* names 0"):
        small_vae(spec=SIZES)


@pytest.fixture
def measured(vae: MoleculeVAE) -> MoleculeVAE:
    """The same model, told something that cannot be computed."""
    return MoleculeVAE(
        vae.network, vae.tokenizer, vae.info | {"conditions": vae.info["conditions"] | {"names": ["pic50"]}}
    )


@pytest.mark.integration
def test_a_property_that_cannot_be_computed_is_to_be_known(vae: MoleculeVAE, measured: MoleculeVAE) -> None:
    molecules = small_molecules()[:6]
    with pytest.raises(
        MoleculeError, match=r"at index 0 .*: pic50 is not known of it \(see `knowing`\), and cannot be"
    ):
        measured.embed(molecules)
    values = {smiles: {"pic50": float(size)} for smiles, size in zip(molecules, sizes(molecules), strict=True)}
    told = measured.knowing(values)
    np.testing.assert_array_equal(told.embed(molecules), vae.embed(molecules))
    np.testing.assert_array_equal(told.log_prob(molecules, k=4), vae.log_prob(molecules, k=4))
    assert told.reconstruct(molecules) == vae.reconstruct(molecules)
    assert evaluate(told, molecules, k=2) == evaluate(vae, molecules, k=2)
    assert np.isnan(told.embed(["CCO"], "nan")).all()


@pytest.mark.integration
def test_prepared_data_tell_what_was_measured(vae: MoleculeVAE, measured: MoleculeVAE, tmp_path: Path) -> None:
    molecules, file = small_molecules()[:40], tmp_path / "in.csv"
    splits = ["train"] * 20 + ["test"] * 20
    columns = {"smiles": molecules, "split": splits, "size": sizes(molecules), "pic50": sizes(molecules)}
    pd.DataFrame(columns).to_csv(file, index=False)
    for name, properties in {"both": ("size", "pic50"), "one": ("size",)}.items():
        prepare(
            PrepareConfig(inputs=(file,), output=tmp_path / name, split=ColumnSplit(), properties=properties, workers=0)
        )
    told, found = held_out(measured, tmp_path / "both", split="test", n=10)
    assert found == molecules[20:30]
    assert evaluate(told, found, k=2) == evaluate(vae, found, k=2)
    assert held_out(vae, file, split="test") == (vae, molecules[20:])
    with pytest.raises(
        DataError, match=r"\(pic50\); expected a directory prepared with it, got a file: .* --property pic50"
    ):
        held_out(measured, file)
    with pytest.raises(
        DataError, match="expected the property pic50 of each molecule, got those prepared: size; .* --property pic50"
    ):
        held_out(measured, tmp_path / "one", split="test")
    with pytest.raises(DataError, match="is not there; expected a file of molecules, or a prepared directory"):
        held_out(vae, tmp_path / "bath", split="test")
    properties = tmp_path / "both" / "test.properties.npy"
    properties.unlink()
    with pytest.raises(DataError, match="the properties of the split 'test' are missing; run `molvae prepare` again"):
        held_out(measured, tmp_path / "both", split="test")
    np.save(properties, np.full((20, 2), np.nan))
    with pytest.raises(DataError, match=r"5 of 5 molecules lack a value of pic50 \(the first: "):
        held_out(measured, tmp_path / "both", split="test", n=5)


@pytest.mark.integration
def test_molecules_are_not_read_without_what_was_measured(
    measured: MoleculeVAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molvae.embedding.load", lambda *_, **__: measured)
    (tmp_path / "in.smi").write_text("CCO\n")
    with pytest.raises(ConfigError, match=r"what only measuring tells \(pic50\); use it from Python: .*knowing"):
        embed_file(tmp_path / "in.smi", tmp_path / "out.csv")
    monkeypatch.setattr("molvae.estimator.load", lambda *_, **__: measured)
    for estimator in (MoleculeEmbedder(on_invalid="nan"), MoleculeOutliers()):
        with pytest.raises(ConfigError, match=r"what only measuring tells \(pic50\)"):
            estimator.fit(small_molecules()[:40])
    with pytest.raises(DataError, match="none of 1 molecules; the first: pic50 is not known of it"):
        evaluate(measured, ["CCO"])


@pytest.mark.integration
def test_what_is_known_goes_before_what_is_computed(vae: MoleculeVAE) -> None:
    told = vae.knowing({"OCC": {"heavy_atoms": 9}})  # another way to write it
    (nine,) = vae.given(heavy_atoms=9).told.target(1)  # type: ignore[misc]
    np.testing.assert_array_equal(told.describe(["CCO", "CCN"]), [nine, *vae.describe(["CCN"])])


@pytest.mark.integration
def test_a_column_is_not_computed_whatever_it_is_called(vae: MoleculeVAE) -> None:
    columns = {"conditions": vae.info["conditions"] | {"columns": ["heavy_atoms"]}}
    measured = MoleculeVAE(vae.network, vae.tokenizer, vae.info | columns)
    with pytest.raises(MoleculeError, match="heavy_atoms is not known of it"):
        measured.embed(["CCO"])


@pytest.mark.integration
def test_what_is_known_adds_up(vae: MoleculeVAE) -> None:
    told = (
        vae.knowing({"CCO": {"heavy_atoms": 9}})
        .knowing({"CCN": {"heavy_atoms": 9}})
        .knowing({"OCC": {"heavy_atoms": 7}})
    )
    assert told.told.known == {"CCO": {"heavy_atoms": 7}, "CCN": {"heavy_atoms": 9}}
    with pytest.raises(ConfigError, match="heavy_atoms of CCO: expected one value, got 9 and 7"):
        vae.knowing({"CCO": {"heavy_atoms": 9}, "OCC": {"heavy_atoms": 7}})


@pytest.mark.integration
def test_what_is_not_known_is_as_it_was_given(vae: MoleculeVAE, measured: MoleculeVAE) -> None:
    molecule = small_molecules()[0]
    given = measured.given(pic50=9)
    assert given.sample(3)
    np.testing.assert_array_equal(
        given.embed([molecule]), vae.knowing({molecule: {"heavy_atoms": 9}}).embed([molecule])
    )
    assert given.neighbours(molecule, n=2, radius=3)


@pytest.mark.integration
def test_a_search_goes_on_towards_the_same_properties_alone(vae: MoleculeVAE, tmp_path: Path) -> None:
    def search(wanted: float) -> list[str]:
        given, start = vae.given(heavy_atoms=wanted), small_molecules()[:5]
        return molvae.optimise("qed", 8, weights=given, start=start, ledger=tmp_path / "journal.log").smiles

    assert search(9) == search(9)
    with pytest.raises(DataError, match="records another search"):
        search(12)


@pytest.mark.integration
def test_what_is_known_is_checked(vae: MoleculeVAE, tiny_vae: MoleculeVAE) -> None:
    with pytest.raises(ConfigError, match="no property 'heavy_atom'; did you mean 'heavy_atoms'"):
        vae.knowing({"CCO": {"heavy_atom": 3}})
    with pytest.raises(ConfigError, match="property heavy_atoms: expected a finite number, got nan"):
        vae.knowing({"CCO": {"heavy_atoms": math.nan}})
    with pytest.raises(MoleculeError, match="no molecule"):
        vae.knowing({"no molecule": {"heavy_atoms": 3}})
    with pytest.raises(ConfigError, match="not conditioned on properties"):
        tiny_vae.knowing({"CCO": {"logp": 1}})


@pytest.mark.integration
def test_doctor_says_that_nothing_is_broken(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert examine(str(model)) == 0
    said = capsys.readouterr().out
    assert "given(heavy_atoms=...)" in said
    assert "5 drugs" in said
