"""Prepared molecules on disk: token ids of all molecules end to end, read through a memory map.

A prepared directory holds, for each split, `SPLIT.tokens.npy` (all ids concatenated, each molecule ending with EOS) and
`SPLIT.offsets.npy` (N + 1 positions), optionally `SPLIT.properties.npy` (N, P), and once `vocabulary.json`,
`config.resolved.toml`, `metrics.json` and, written last, `manifest.json`. Nothing here needs RDKit or selfies, so a
bare GPU node can train from it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.lib import format as npy

from molvae.core.arrays import AnyArray
from molvae.core.errors import DataError
from molvae.core.files import MANIFEST, atomic_path, read_json
from molvae.data.conditions import Conditions
from molvae.tokens.vocabulary import EOS


class ShardWriter:
    """Writes one split molecule by molecule with constant memory; nothing has the final name until it is whole.

    Used as a context manager; an exception inside leaves no files.

    Args:
        directory: the prepared directory.
        split: name of the split.
        vocabulary_size: decides the type of the ids (uint8 up to 256 tokens).
        n_properties: numbers that come with each molecule.
    """

    def __init__(self, directory: str | Path, split: str, vocabulary_size: int, n_properties: int = 0) -> None:
        self.directory, self.split = Path(directory), split
        self.dtype = np.dtype(np.uint8 if vocabulary_size <= 256 else np.uint16)
        self.n_properties = n_properties
        self.n_molecules = self.n_tokens = 0

    def __enter__(self) -> ShardWriter:
        self._stack = ExitStack()
        base, enter = self.directory / self.split, self._stack.enter_context
        try:
            self._tokens = enter(_GrowingArray(base.with_name(f"{self.split}.tokens.npy"), self.dtype))
            self._offsets = enter(_GrowingArray(base.with_name(f"{self.split}.offsets.npy"), np.dtype(np.int64)))
            if self.n_properties:
                path = base.with_name(f"{self.split}.properties.npy")
                self._properties = enter(_GrowingArray(path, np.dtype(np.float32), self.n_properties))
            self._offsets.append(np.zeros(1))
        except BaseException:
            self._stack.__exit__(*sys.exc_info())
            raise
        return self

    def append(self, ids: AnyArray, properties: AnyArray | None = None) -> None:
        """Add one molecule: ids (T,), the last of them EOS, and its properties (P,) if there are any."""
        self.extend(ids, [len(ids)], None if properties is None else np.asarray(properties)[None])

    def extend(self, ids: AnyArray, lengths: Sequence[int] | AnyArray, properties: AnyArray | None = None) -> None:
        """Add many molecules at once.

        Args:
            ids: concatenated ids (sum of lengths,), each molecule ending with EOS.
            lengths: (M,) ids of each molecule.
            properties: (M, P) numbers; needed if, and only if, the writer was made for P > 0.
        """
        ends = np.cumsum(lengths, dtype=np.int64)
        if len(ends) == 0:
            return
        if ends[-1] != len(ids) or np.any(np.asarray(ids)[ends - 1] != EOS):
            raise DataError(f"{self.split}: lengths do not fit the ids, or a molecule does not end with [eos]")
        if (0 if properties is None else np.shape(properties)[1]) != self.n_properties:
            raise DataError(f"{self.split}: expected {self.n_properties} properties for each molecule")
        self._tokens.append(ids)
        self._offsets.append(self.n_tokens + ends)
        if properties is not None and self.n_properties:
            self._properties.append(properties)
        self.n_molecules += len(ends)
        self.n_tokens += len(ids)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


class _GrowingArray:
    """A .npy file whose number of rows is known only at the end; the header, of fixed size, is written last."""

    HEADER_BYTES = 128

    def __init__(self, path: Path, dtype: np.dtype[Any], width: int | None = None) -> None:
        self.path, self.dtype, self.width, self.n_rows = path, dtype, width, 0

    def __enter__(self) -> _GrowingArray:
        self._stack = ExitStack()
        temporary = self._stack.enter_context(atomic_path(self.path))
        try:
            self._handle = self._stack.enter_context(open(temporary, "wb"))
            self._handle.write(b"\0" * self.HEADER_BYTES)
        except BaseException:
            self._stack.__exit__(*sys.exc_info())
            raise
        return self

    def append(self, values: AnyArray) -> None:
        self._handle.write(np.ascontiguousarray(values, dtype=self.dtype).tobytes())
        self.n_rows += len(values)

    def __exit__(self, *exc: Any) -> None:
        if exc[0] is None:
            shape = (self.n_rows,) if self.width is None else (self.n_rows, self.width)
            fields = {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape}
            self._handle.seek(0)
            self._handle.write(b"\x93NUMPY\x01\x00" + (self.HEADER_BYTES - 10).to_bytes(2, "little"))
            self._handle.write(repr(fields).ljust(self.HEADER_BYTES - 11).encode("latin1") + b"\n")
        self._stack.__exit__(*exc)


@dataclass(frozen=True)
class TokenShards:
    """One split, memory-mapped.

    Attributes:
        tokens: all ids, concatenated.
        offsets: (N + 1,); molecule i is tokens[offsets[i]:offsets[i + 1]].
        properties: (N, P) float32 in their own units, or None.
        conditions: the scale on which a model is told the properties; None tells it nothing.
    """

    tokens: AnyArray
    offsets: AnyArray
    properties: AnyArray | None = None
    conditions: Conditions | None = None

    @classmethod
    def open(cls, directory: str | Path, split: str) -> TokenShards:
        """Map a split of a prepared directory.

        Raises:
            DataError: the directory or the split is missing or damaged.
        """
        base = Path(directory)
        try:
            tokens = np.load(base / f"{split}.tokens.npy", mmap_mode="r", allow_pickle=False)
            offsets = np.load(base / f"{split}.offsets.npy", mmap_mode="r", allow_pickle=False)
            path = base / f"{split}.properties.npy"
            properties = np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None
        except (OSError, ValueError) as error:
            found = sorted(p.name.split(".")[0] for p in base.glob("*.tokens.npy"))
            how = " again, with --overwrite --set split.valid_fraction=0.05" if found and split == "valid" else ""
            raise DataError(
                f"{base}: no prepared split {split!r} (found: {', '.join(found) or 'none'}); "
                f"run `molvae prepare`{how} ({error})"
            ) from error
        if len(offsets) == 0 or offsets[-1] != len(tokens):
            raise DataError(
                f"{base}: split {split!r} is damaged (offsets and tokens disagree); run `molvae prepare` again"
            )
        if properties is not None and len(properties) != len(offsets) - 1:
            raise DataError(
                f"{base}: split {split!r} is damaged (offsets and properties disagree); run `molvae prepare` again"
            )
        return cls(tokens, offsets, properties)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> AnyArray:
        """(N,) ids per molecule, the end token included."""
        return np.diff(self.offsets)

    def lengths_of(self, indices: AnyArray) -> AnyArray:
        """(B,) ids of some molecules; costs nothing for the others."""
        return self.offsets[indices + 1] - self.offsets[indices]

    def told(self, indices: AnyArray) -> AnyArray | None:
        """What a model is told of some molecules, (B, P) float32."""
        if self.properties is None or self.conditions is None:
            return None
        return self.conditions.standardised(self.properties[indices])

    def __getitem__(self, index: int) -> AnyArray:
        """Ids of one molecule, (T,)."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    def padded(self, indices: Iterable[int]) -> AnyArray:
        """Ids of several molecules, (B, T) int64, padded with 0."""
        rows = [self[i] for i in indices]
        out = np.zeros((len(rows), max((len(r) for r in rows), default=0)), dtype=np.int64)
        for i, row in enumerate(rows):
            out[i, : len(row)] = row
        return out


def read_manifest(directory: str | Path) -> dict[str, Any]:
    """The manifest of a prepared directory.

    Raises:
        DataError: there is none, so the directory is not (wholly) prepared.
    """
    path = Path(directory) / MANIFEST
    try:
        manifest: dict[str, Any] = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run `molvae prepare` first") from error
    return manifest
