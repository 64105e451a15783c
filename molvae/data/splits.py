"""Which split a molecule belongs to: by a column of the input, by chance, or by its scaffold.

Random and scaffold splits hash the molecule (or its scaffold) together with the seed, so the answer depends on the
molecule alone: not on its place in the input, nor on what else is in it, nor on the number of workers. The fractions
are met on average only, within about sqrt(N) molecules.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Annotated, Literal

from pydantic import Field, model_validator

from molvae.core.config import Spec
from molvae.core.errors import MoleculeError

ALIASES = {"training": "train", "val": "valid", "validation": "valid", "dev": "valid", "testing": "test"}
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")


class ColumnSplit(Spec):
    """The split is named in a column of the input ("val", "validation" and "dev" mean "valid").

    Args:
        column: the column.
        valid_fraction: share of the train rows moved to "valid", for inputs that come without one.
        seed: which ones are moved.
    """

    kind: Literal["column"] = "column"
    column: str = "split"
    valid_fraction: float = Field(0.0, ge=0, lt=1)
    seed: int = 0


class RandomSplit(Spec):
    """Each molecule goes to "train", "valid" or "test" by chance."""

    kind: Literal["random"] = "random"
    valid_fraction: float = Field(0.05, ge=0, lt=1)
    test_fraction: float = Field(0.05, ge=0, lt=1)
    seed: int = 0

    @model_validator(mode="after")
    def _leaves_something(self) -> RandomSplit:
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError("valid_fraction + test_fraction should be below 1, to leave molecules to train on")
        return self


class ScaffoldSplit(RandomSplit):
    """All molecules of one Bemis-Murcko scaffold go to the same split; a molecule without rings is its own scaffold."""

    kind: Literal["scaffold"] = "scaffold"  # type: ignore[assignment]


class SingleSplit(Spec):
    """Everything goes to one split, for instance a test set for an existing model."""

    kind: Literal["single"] = "single"
    name: str = Field("train", pattern=NAME.pattern)


Split = Annotated[ColumnSplit | RandomSplit | ScaffoldSplit | SingleSplit, Field(discriminator="kind")]


def assign(split: ColumnSplit | RandomSplit | ScaffoldSplit | SingleSplit, smiles: str, cell: str) -> str:
    """The split of a molecule.

    Args:
        split: how to split.
        smiles: canonical SMILES.
        cell: what the input's split column says; only a ColumnSplit looks at it.

    Raises:
        MoleculeError: the column names no split.
    """
    if isinstance(split, SingleSplit):
        return split.name
    if isinstance(split, ColumnSplit):
        name = cell.strip().lower()
        name = ALIASES.get(name, name)
        if not NAME.fullmatch(name):
            raise MoleculeError(smiles, "no split given" if not name else "not a name for a split")
        moved = name == "train" and split.valid_fraction > 0 and uniform(smiles, split.seed) < split.valid_fraction
        return "valid" if moved else name
    chance = uniform(scaffold(smiles) if isinstance(split, ScaffoldSplit) else smiles, split.seed)
    if chance < split.test_fraction:
        return "test"
    return "valid" if chance < split.test_fraction + split.valid_fraction else "train"


def uniform(text: str, seed: int) -> float:
    """A number in [0, 1) that depends on the text and the seed only.

    >>> uniform("CCO", 0) == uniform("CCO", 0) != uniform("CCO", 1)
    True
    """
    digest = blake2b(text.encode(), digest_size=8, key=b"molvae split %d" % seed).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def scaffold(smiles: str) -> str:
    """Bemis-Murcko scaffold without stereo (Bemis and Murcko 1996, doi:10.1021/jm9602928); acyclic: the molecule.

    >>> scaffold("CCc1ccccc1")
    'c1ccccc1'
    """
    from rdkit.Chem.Scaffolds import MurckoScaffold

    return MurckoScaffold.MurckoScaffoldSmiles(smiles=smiles) or smiles
