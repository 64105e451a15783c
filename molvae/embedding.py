"""Latent points for other tools: a scikit-learn transformer, and files in, files out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from molvae.chem.molecules import Charges, Fragments
from molvae.chem.reading import OnInvalid
from molvae.core.arrays import AnyArray, Points
from molvae.core.errors import DataError
from molvae.core.output import check_output, writing_columns
from molvae.core.progress import progress
from molvae.core.tables import SMILES_COLUMN, Row, carried_columns, count_rows, find_columns, in_chunks, read_rows
from molvae.estimator import MoleculeEstimator, smiles_column
from molvae.generation import MoleculeVAE, load

ROWS_AT_ONCE = 2048


class MoleculeEmbedder(TransformerMixin, MoleculeEstimator):
    """SMILES to latent points, in a scikit-learn `Pipeline`.

        make_pipeline(MoleculeEmbedder(), RidgeCV()).fit(smiles, y)

    Takes a list, a 1-D array, a Series, or a frame or 2-D array with one column. Nothing is learnt in `fit`, which only
    loads the weights; a pickle holds the name of the weights and not the weights.

    Args:
        weights: name of shipped weights, or a model directory.
        on_invalid: "raise" an error that names index and string, or give rows of "nan".
        device: "auto", "cpu", "cuda", ...
        fragments, charges: what is done with salts and charges, see `molvae.load`.
    """

    def __init__(
        self,
        weights: str = "zinc250k",
        on_invalid: OnInvalid = "raise",
        device: str = "auto",
        fragments: Fragments | None = None,
        charges: Charges | None = None,
    ) -> None:
        self.weights, self.on_invalid, self.device = weights, on_invalid, device
        self.fragments, self.charges = fragments, charges

    def fit(self, X: Any, y: Any = None) -> MoleculeEmbedder:
        """Load the weights and look at the input's form."""
        smiles_column(X)
        self.n_features_in_ = 1
        self.latent_dim_ = self._loaded().latent_dim
        return self

    def transform(self, X: Any) -> Points:
        """Posterior means, (N, Z) float32."""
        check_is_fitted(self, "latent_dim_")
        return self.vae.embed(smiles_column(X), self.on_invalid)

    def get_feature_names_out(self, input_features: Any = None) -> AnyArray:
        """z0, z1, ..."""
        check_is_fitted(self, "latent_dim_")
        return np.array([f"z{i}" for i in range(self.latent_dim_)], dtype=object)


@dataclass(frozen=True)
class EmbedSummary:
    """What `embed_file` did."""

    out: Path
    n_rows: int
    n_invalid: int

    def __str__(self) -> str:
        lost = f", {self.n_invalid:,} of them without a point (see the column error)" if self.n_invalid else ""
        return f"{self.out}: {self.n_rows:,} rows{lost}"


def embed_file(
    source: str | Path,
    out: str | Path,
    column: str = SMILES_COLUMN,
    keep: Sequence[str] | None = None,
    weights: str = "zinc250k",
    device: str = "auto",
    fragments: Fragments | None = None,
    charges: Charges | None = None,
) -> EmbedSummary:
    """Embed the molecules of a file: `molvae embed`. Streams, so memory does not depend on the length of the file.

    Args:
        source: .smi, .csv, .tsv or .parquet, plain or .gz.
        out: .csv or .tsv, plain or .gz, or .parquet; has a row for each row of the input, in its order: the kept
            columns as text, `error` (empty where all is well) and z0 .. z(Z-1), which are empty where a molecule cannot
            be read.
        column: the column of the SMILES.
        keep: other columns to carry over; None carries all.
        weights, device, fragments, charges: see `molvae.load`.

    Raises:
        ConfigError: the name of `out` says no kind that can be written; the model is told what only measuring tells.
        DataError: a file or column is not there, or cannot be read or written; the model can read no molecule.
    """
    source, out = Path(source), Path(out)
    check_output(out, "csv", "tsv", "parquet", source=source)
    column, *kept = find_columns(source, [column, *(keep or [])])
    if keep is None:
        kept = [name for name in carried_columns(source) if name != column]
    columns = list(dict.fromkeys([column, *kept]))
    vae = load(weights, device, fragments=fragments, charges=charges)
    vae.told.check_computed()
    points = [f"z{i}" for i in range(vae.latent_dim)]
    if clash := sorted({"error", *points} & set(columns)):
        raise DataError(f"{source}: has columns of the output's names ({', '.join(clash[:3])}); choose what to keep")
    text = [(name, pyarrow.string()) for name in [*columns, "error"]]
    schema = pyarrow.schema(text + [(name, pyarrow.float32()) for name in points])
    n_rows = n_invalid = 0
    with writing_columns(out, schema) as write, progress(count_rows(source), "embedding", "rows") as bar:
        for rows in in_chunks(read_rows(source, columns), ROWS_AT_ONCE):
            table, invalid = _embedded(vae, rows, columns, schema)
            write(table)
            n_rows, n_invalid = n_rows + len(rows), n_invalid + invalid
            bar.advance(len(rows), without_point=n_invalid)
        if 0 < n_invalid == n_rows:
            raise DataError(
                f"{source}: the model can read none of the {n_rows:,} molecules in the column {column!r} "
                f"(the last: {table['error'][-1]}); are they SMILES?"
            )
    return EmbedSummary(out, n_rows, n_invalid)


def _embedded(
    vae: MoleculeVAE, rows: list[Row], columns: list[str], schema: pyarrow.Schema
) -> tuple[pyarrow.Table, int]:
    """The output rows of some input rows, and how many of them have no point."""
    smiles = [row.cells[0] for row in rows]
    z = vae.embed(smiles, on_invalid="nan")
    lost = np.asarray(np.isnan(z).any(axis=1))
    errors = [vae.reason(molecule) if bad else None for molecule, bad in zip(smiles, lost, strict=True)]
    arrays = [pyarrow.array([row.cells[i] for row in rows], pyarrow.string()) for i in range(len(columns))]
    arrays.append(pyarrow.array(errors, pyarrow.string()))
    arrays += [pyarrow.array(z[:, i], pyarrow.float32(), mask=lost) for i in range(z.shape[1])]
    return pyarrow.Table.from_arrays(arrays, schema=schema), int(lost.sum())
