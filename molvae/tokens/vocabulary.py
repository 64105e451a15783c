"""The tokens a model knows: an immutable list, saved beside its weights."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from molvae.core.errors import DataError
from molvae.core.files import sha256_text

PAD, BOS, EOS = 0, 1, 2
SPECIAL = ("[pad]", "[bos]", "[eos]")  # no SELFIES symbol is lower-case in this way


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id; ids 0, 1, 2 are padding, begin and end.

    >>> Vocabulary.from_symbols(["[O]", "[C]", "[C]"]).tokens
    ('[pad]', '[bos]', '[eos]', '[C]', '[O]')
    """

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.tokens[:3] != SPECIAL:
            raise DataError(f"a vocabulary begins with {SPECIAL}, this one with {self.tokens[:3]}")
        if len(set(self.tokens)) != len(self.tokens):
            raise DataError("a vocabulary lists each token once; this one repeats some")

    @classmethod
    def from_symbols(cls, symbols: Iterable[str]) -> Vocabulary:
        """The vocabulary of all distinct `symbols`, sorted, so that it does not depend on the input's order."""
        return cls((*SPECIAL, *sorted(set(symbols) - set(SPECIAL))))

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def ids(self) -> dict[str, int]:
        """Token to id."""
        return {token: i for i, token in enumerate(self.tokens)}

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of the ordered tokens; weights and prepared data carry it."""
        return sha256_text(json.dumps(self.tokens))
