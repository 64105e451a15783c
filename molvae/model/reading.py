"""Reading molecules one by one, where some may not be readable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar, get_args

from molvae.core.errors import MoleculeError

OnInvalid = Literal["raise", "nan"]
Read = TypeVar("Read")


def read_each(read: Callable[[str], Read], smiles: Sequence[str], on_invalid: OnInvalid) -> list[Read | None]:
    """What `read` makes of each molecule; where it cannot, "raise" its error with the index, or give None for "nan".

    Raises:
        MoleculeError: a molecule cannot be read.
        TypeError: smiles is one string.
        ValueError: on_invalid is something else.
    """
    if isinstance(smiles, str):
        raise TypeError("expected a list of SMILES, got one string; write [smiles]")
    if on_invalid not in get_args(OnInvalid):
        raise ValueError(f"on_invalid: expected 'raise' or 'nan', got {on_invalid!r}")
    found: list[Read | None] = []
    for index, molecule in enumerate(smiles):
        try:
            found.append(read(molecule))
        except MoleculeError as error:
            if on_invalid == "raise":
                raise error.at(index) from error
            found.append(None)
    return found
