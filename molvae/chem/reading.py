"""Molecules as they are given: a list, of which some may not be readable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar, get_args

from molvae.core.errors import MoleculeError

OnInvalid = Literal["raise", "nan"]
Read = TypeVar("Read")


def as_list(smiles: Sequence[str]) -> list[str]:
    """The molecules as a list.

    Raises:
        TypeError: one string came where a list was expected; its characters would be read as molecules.
    """
    if isinstance(smiles, str):
        raise TypeError("expected a list of SMILES, got one string; write [smiles]")
    return list(smiles)


def read_each(read: Callable[[str], Read], smiles: Sequence[str], on_invalid: OnInvalid) -> list[Read | None]:
    """What `read` makes of each molecule; where it cannot, "raise" its error with the index, or give None for "nan".

    Raises:
        MoleculeError: a molecule cannot be read.
        TypeError: smiles is one string.
        ValueError: on_invalid is something else.
    """
    molecules = as_list(smiles)
    if on_invalid not in get_args(OnInvalid):
        raise ValueError(f"on_invalid: expected 'raise' or 'nan', got {on_invalid!r}")
    found: list[Read | None] = []
    for index, molecule in enumerate(molecules):
        try:
            found.append(read(molecule))
        except MoleculeError as error:
            if on_invalid == "raise":
                where = error.at(index)
                # for users of Python
                where.add_note('where a function takes on_invalid, "nan" gives NaN or None instead')
                raise where from error
            found.append(None)
    return found
