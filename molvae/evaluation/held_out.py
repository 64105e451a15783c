"""Molecules that a model has not seen, from a file or a prepared directory."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from molvae.core.errors import DataError
from molvae.core.tables import SMILES_COLUMN, read_split
from molvae.data.prepared import prepared_properties, prepared_smiles
from molvae.generation import MoleculeVAE


def held_out(
    vae: MoleculeVAE, source: Path, column: str = SMILES_COLUMN, split: str | None = None, n: int | None = None
) -> tuple[MoleculeVAE, list[str]]:
    """Molecules to measure a model on, and the model, knowing what only measuring tells of them.

    Args:
        vae: the model.
        source: a file of molecules, or a prepared directory, which can hold measured properties.
        column: of the SMILES, in a file.
        split: only rows with this in the column `split`, or the prepared split.
        n: only the first n of them.

    Raises:
        DataError: there are no such molecules, the source cannot be read, or it does not say what the model is told.
    """
    if not source.exists():
        raise DataError(f"{source}: is not there; expected a file of molecules, or a prepared directory")
    prepared, measured = source.is_dir(), vae.told.only_measured
    molecules = list(islice(prepared_smiles(source, split) if prepared else read_split(source, column, split), n))
    if not molecules:
        where = "" if split is None else f" in the split {split!r}"
        raise DataError(f"{source}: no molecules{where}")
    if not measured:
        return vae, molecules
    if not prepared:
        raise DataError(
            f"{source}: the model is told what only measuring tells ({', '.join(measured)}); expected a directory "
            f"prepared with it, got a file: molvae prepare ... {' '.join(f'--property {name}' for name in measured)}"
        )
    values = prepared_properties(source, split, measured)[: len(molecules)]
    if empty := np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist():
        raise DataError(
            f"{source}: {len(empty)} of {len(molecules)} molecules lack a value of {', '.join(measured)} (the first: "
            f"{molecules[empty[0]]}); fill them in or leave them out, and prepare the data again"
        )
    rows = (dict(zip(measured, row, strict=True)) for row in values.tolist())
    return vae.knowing(dict(zip(molecules, rows, strict=True))), molecules
