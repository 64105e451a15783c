"""What `molvae sample` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from molvae.core.errors import ConfigError
from molvae.core.output import check_output, writing
from molvae.core.progress import progress

if TYPE_CHECKING:
    from molvae.generation import MoleculeVAE

AT_ONCE = 512  # molecules


def values_of(given: Sequence[str]) -> dict[str, float]:
    """Properties out of "name=value" each.

    Raises:
        ConfigError: one is written otherwise, or its value is no number.
    """
    values = dict[str, float]()
    for text in given:
        name, _, value = text.partition("=")
        if name.strip() in values:
            raise ConfigError(f"--given {text!r}: {name.strip()} is given twice")
        try:
            values[name.strip()] = float(value)
        except ValueError:
            raise ConfigError(f"--given {text!r}: expected NAME=VALUE, for instance logp=3.5") from None
    return values


def write_samples(
    vae: MoleculeVAE, n: int, temperature: float | None, top_p: float, seed: int, out: Path | None
) -> None:
    """Print n molecules, one a line, or write them to a file.

    Raises:
        ConfigError: the file's name says no kind that can be written.
    """
    if out is not None:
        check_output(out, "smi", "csv", "tsv", "parquet")
    rng, found = np.random.default_rng(seed), list[str]()
    with progress(n, "sampling", "molecules") as bar:
        while len(found) < n:
            molecules = vae.sample(min(n - len(found), AT_ONCE), temperature, top_p, rng)
            if not molecules:
                break
            found += molecules
            bar.advance(len(molecules))
    if out is None:
        print("\n".join(found))
        return
    with writing(out, ["smiles"]) as write:
        write([[smiles] for smiles in found])
    print(f"{out}: {len(found):,} molecules, {len(set(found)):,} of them distinct")
