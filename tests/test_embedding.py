"""Points in scikit-learn and in files."""

from __future__ import annotations

import gzip
import inspect
import pickle
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from small_model import small_molecules

from molvae import embedding
from molvae.core.errors import ConfigError, DataError, MoleculeError
from molvae.embedding import MoleculeEmbedder, embed_file
from molvae.generation import load

SMILES = small_molecules()[:6]
Z = 8


@pytest.fixture
def embedder(tiny_model: Path) -> MoleculeEmbedder:
    return MoleculeEmbedder(str(tiny_model), device="cpu")


@pytest.fixture
def expected(tiny_model: Path) -> np.ndarray:
    return load(tiny_model, device="cpu").embed(SMILES)


# --- scikit-learn -----------------------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[list[str]], object]] = {
    "list": list,
    "tuple": tuple,
    "array of str": np.array,
    "array of objects": lambda s: np.array(s, dtype=object),
    "one-column array": lambda s: np.array(s)[:, None],
    "Series": pd.Series,
    "Series of strings": lambda s: pd.Series(s, dtype="string"),
    "frame": lambda s: pd.DataFrame({"smiles": s}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_input(embedder: MoleculeEmbedder, expected: np.ndarray, form: str) -> None:
    found = embedder.fit_transform(FORMS[form](SMILES))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_what_is_no_column_of_smiles(embedder: MoleculeEmbedder) -> None:
    with pytest.raises(ValueError, match="one column of SMILES, got 2"):
        embedder.fit(pd.DataFrame({"a": SMILES, "b": SMILES}))
    for wrong in ("CCO", 3):
        with pytest.raises(ValueError, match="list or array of SMILES"):
            embedder.fit(wrong)
    with pytest.raises(NotFittedError):
        embedder.transform(SMILES)


def test_invalid_molecules(embedder: MoleculeEmbedder, tiny_model: Path) -> None:
    with pytest.raises(MoleculeError, match="index 1 'C1CC'"):
        embedder.fit(SMILES).transform(["CCO", "C1CC"])
    found = MoleculeEmbedder(str(tiny_model), on_invalid="nan", device="cpu").fit_transform(["CCO", "C1CC", None])
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True]


def test_salts_are_read_where_asked_for(embedder: MoleculeEmbedder, tiny_model: Path, tmp_path: Path) -> None:
    (smiles, *_), weights = small_molecules(), str(tiny_model)
    salt = f"{smiles}.Cl"
    embedder.fit([smiles])
    with pytest.raises(MoleculeError, match="fragments = 'largest' keeps the largest"):
        embedder.transform([salt])
    reading = MoleculeEmbedder(weights, fragments="largest").fit([salt])
    np.testing.assert_array_equal(reading.transform([salt]), embedder.transform([smiles]))
    assert clone(reading).fragments == "largest"
    (tmp_path / "in.csv").write_text(f"smiles\n{salt}\n")
    assert embed_file(tmp_path / "in.csv", tmp_path / "z.csv", weights=weights, fragments="largest").n_invalid == 0
    neutral = load(tiny_model, fragments="largest", charges="neutralise").tokenizer.standardiser
    assert neutral("CC(=O)[O-].[Na+]") == "CC(=O)O"
    with pytest.raises(ConfigError, match="fragments: expected 'largest' or 'reject', got 'biggest'"):
        load(tiny_model, fragments="biggest")  # type: ignore[arg-type]


def test_in_a_pipeline(embedder: MoleculeEmbedder) -> None:
    smiles = small_molecules()
    readable = ~np.isnan(MoleculeEmbedder(embedder.weights, "nan", "cpu").fit_transform(smiles)[:, 0])
    x = [s for s, ok in zip(smiles, readable, strict=True) if ok]
    y = np.array([s.count("c") for s in x], dtype=float)
    assert len(x) > 20
    scores = cross_val_score(make_pipeline(embedder, Ridge(1e-3)), x, y, cv=3)
    assert np.isfinite(scores).all()
    frame = pd.DataFrame({"smiles": x, "ph": np.arange(len(x))})
    columns = ColumnTransformer([("z", embedder, ["smiles"])], remainder="passthrough")
    assert columns.fit_transform(frame).shape == (len(x), Z + 1)
    assert columns.get_feature_names_out()[[0, Z]].tolist() == ["z__z0", "remainder__ph"]


def test_pandas_output(embedder: MoleculeEmbedder, expected: np.ndarray) -> None:
    frame = pd.DataFrame({"smiles": SMILES}, index=list("abcdef"))
    found = embedder.set_output(transform="pandas").fit_transform(frame)
    assert list(found.columns) == [f"z{i}" for i in range(Z)] == list(embedder.get_feature_names_out())
    assert list(found.index) == list("abcdef")
    np.testing.assert_allclose(found.to_numpy(), expected, rtol=0, atol=2e-6)


def test_pickles_by_reference(embedder: MoleculeEmbedder, expected: np.ndarray) -> None:
    fitted = embedder.fit(SMILES)
    packed = pickle.dumps(fitted)
    assert len(packed) < 1000
    assert b"torch" not in packed
    back = pickle.loads(packed)
    np.testing.assert_allclose(back.transform(SMILES), expected, rtol=0, atol=2e-6)
    assert clone(fitted).get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        clone(fitted).transform(SMILES)


# These fail by design: they feed numbers, which are no molecules, and so are read as rows of nan, or ask for what is
# not promised. Whatever else scikit-learn checks of an estimator or transformer has to pass.
NOT_FOR_MOLECULES = {
    "check_complex_data": "complex numbers are not told from other things that are no SMILES",
    "check_dict_unchanged": "indexes one-dimensional input as two-dimensional",
    "check_dont_overwrite_parameters": "indexes one-dimensional input as two-dimensional",
    "check_estimators_empty_data_messages": "asks for numbers",
    "check_estimators_nan_inf": "asks for numbers",
    "check_f_contiguous_array_estimator": "indexes one-dimensional input as two-dimensional",
    "check_fit1d": "one-dimensional input is what we want",
    "check_fit2d_1feature": "indexes one-dimensional input as two-dimensional",
    "check_fit2d_1sample": "indexes one-dimensional input as two-dimensional",
    "check_fit2d_predict1d": "indexes one-dimensional input as two-dimensional",
    "check_methods_sample_order_invariance": "indexes one-dimensional input as two-dimensional",
    "check_methods_subset_invariance": "indexes one-dimensional input as two-dimensional",
    "check_n_features_in": "asks for as many columns as numbers",
    "check_param_validation": "tests scikit-learn's private declaration of parameters",
    "check_sparsify_coefficients": "for linear models",
    "check_transformer_data_not_an_array": "indexes one-dimensional input as two-dimensional",
    "check_transformer_general": "indexes one-dimensional input as two-dimensional",
    "check_transformer_preserve_dtypes": "points are float32 whatever comes in",
    "check_transformers_unfitted_stateless": "for transformers that need no fit",
    "check_supervised_y_2d": "for predictors",
}
NOT_TRANSFORMERS = ("classif", "regress", "cluster", "outlier", "sparse_", "class_weight", "array_api", "sample_weight")


def general_checks() -> list[str]:
    """scikit-learn's checks of one estimator that need nothing else, but for those of other kinds of estimators."""
    found = []
    for name, check in vars(estimator_checks).items():
        if not name.startswith("check_") or any(part in name for part in NOT_TRANSFORMERS) or "polars" in name:
            continue
        needed = [p.name for p in inspect.signature(check).parameters.values() if p.default is p.empty]
        if needed in (["name", e + "_orig"] for e in ("estimator", "transformer")) or needed in (
            ["name", "estimator"],
            ["name", "transformer"],
        ):
            found.append(name)
    return sorted(set(found) - set(NOT_FOR_MOLECULES))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", general_checks())
def test_scikit_learn_checks(tiny_model: Path, name: str) -> None:
    getattr(estimator_checks, name)(
        "MoleculeEmbedder", MoleculeEmbedder(str(tiny_model), on_invalid="nan", device="cpu")
    )


# --- files ------------------------------------------------------------------------------------------------------------

ROWS = pd.DataFrame(
    {
        "id": [f"m{i}" for i in range(9)],
        "smiles": [*SMILES, "C1CC", "", "CCI"],
        "note": ['a, "b"', "", "ü", "d", "e", "f", "g", "h", "i"],
    }
)
ERRORS = [None] * 6 + ["not a valid SMILES", "not a valid SMILES", "unknown token [I]"]


def check_points(table: pd.DataFrame, expected: np.ndarray) -> None:
    z = table[[f"z{i}" for i in range(Z)]].to_numpy(dtype=np.float32)
    np.testing.assert_allclose(z[:6], expected, rtol=0, atol=3e-6)
    assert np.isnan(z[6:]).all()
    assert [None if pd.isna(e) else e for e in table["error"]] == ERRORS


def written(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")


@pytest.mark.parametrize("source", ["in.csv", "in.csv.gz", "in.tsv", "in.parquet"])
@pytest.mark.parametrize("out", ["out.parquet", "out.csv", "out.csv.gz", "out.tsv"])
def test_files_keep_rows_and_columns(
    tmp_path: Path, tiny_model: Path, expected: np.ndarray, source: str, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "ROWS_AT_ONCE", 4)
    if source.endswith("parquet"):
        ROWS.to_parquet(tmp_path / source)
    else:
        ROWS.to_csv(tmp_path / source, index=False, sep="\t" if ".tsv" in source else ",")
    summary = embed_file(tmp_path / source, tmp_path / out, weights=str(tiny_model), device="cpu")
    assert (summary.n_rows, summary.n_invalid) == (9, 3)
    assert "3 of them" in str(summary)
    table = written(tmp_path / out)
    assert list(table.columns) == ["smiles", "id", "note", "error", *(f"z{i}" for i in range(Z))]
    for name in ("id", "smiles", "note"):
        assert table[name].fillna("").tolist() == ROWS[name].tolist()
    check_points(table, expected)
    assert {path.name for path in tmp_path.iterdir()} == {source, out}


def test_a_smi_file_and_chosen_columns(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "in.smi").write_text(f"{SMILES[0]} a name\n{SMILES[1]}\n")
    embed_file(tmp_path / "in.smi", tmp_path / "a.csv", weights=str(tiny_model), device="cpu")
    assert pd.read_csv(tmp_path / "a.csv")["name"].fillna("").tolist() == ["a name", ""]
    ROWS.rename(columns={"smiles": "structure"}).to_csv(tmp_path / "in.csv", index=False)
    embed_file(tmp_path / "in.csv", tmp_path / "b.csv", "Structure", ["ID"], str(tiny_model), "cpu")
    assert list(pd.read_csv(tmp_path / "b.csv").columns[:4]) == ["structure", "id", "error", "z0"]


def test_bad_files_and_names(tmp_path: Path, tiny_model: Path) -> None:
    ROWS.to_csv(tmp_path / "in.csv", index=False)
    ROWS.assign(error=1).to_csv(tmp_path / "again.csv", index=False)
    (tmp_path / "broken.csv.gz").write_bytes(gzip.compress(b"smiles\nCCO\n" * 100)[:40])
    (tmp_path / "twice.csv").write_text("smiles,id,id\nCCO,1,2\n")
    (tmp_path / "file").write_text("")
    for source, out, column, words in [
        ("in.csv", "out.csv", "smile", "did you mean 'smiles'"),
        ("none.csv", "out.csv", "smiles", "no such file"),
        ("again.csv", "out.csv", "smiles", r"names \(error\)"),
        ("twice.csv", "out.csv", "smiles", "two columns 'id'"),
        ("broken.csv.gz", "out.csv", "smiles", "damaged or cut short"),
        ("in.csv", "file/out.csv", "smiles", "cannot be written"),
    ]:
        with pytest.raises(DataError, match=words):
            embed_file(tmp_path / source, tmp_path / out, column, weights=str(tiny_model), device="cpu")
    for out in ("out.xlsx", "out.smi", "out.parquet.gz"):
        with pytest.raises(ConfigError, match=r"ending in \.csv, \.tsv or \.parquet"):
            embed_file(tmp_path / "in.csv", tmp_path / out, weights=str(tiny_model), device="cpu")
    assert not list(tmp_path.glob("*out*"))


def test_a_file_without_a_readable_molecule_leaves_no_output(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "in.csv").write_text("smiles,y\nCCO,1.5\nCCN,high\n")
    words = r"none of the 2 molecules in the column 'y' \(the last: not a valid SMILES\); are they SMILES"
    for out in ("out.parquet", "out.csv.gz"):
        with pytest.raises(DataError, match=words):
            embed_file(tmp_path / "in.csv", tmp_path / out, "y", weights=str(tiny_model), device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_memory_does_not_grow_with_the_file(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "ROWS_AT_ONCE", 32)

    def peak_megabytes(n_rows: int) -> float:
        path = tmp_path / f"{n_rows}.csv"
        lines = (f"{SMILES[0]},{str(i) * (100_000 // len(str(i)))}\n" for i in range(n_rows))
        with open(path, "w") as handle:
            handle.write("smiles,text\n")
            handle.writelines(lines)
        assert embed_file(path, tmp_path / "out.parquet", weights=str(tiny_model), device="cpu").n_rows == n_rows
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    few = peak_megabytes(96)  # 10 MB
    assert peak_megabytes(960) - few < 40  # 96 MB
