"""What an oracle is: SMILES in, one number (or several) a molecule out; larger is better; NaN = could not be scored.

    molecules -> oracle -> (N,) or (N, Q) float64

An oracle is deterministic and gives every SMILES of a molecule the same value, as far as its definition allows. Invalid
SMILES and molecules on which the computation fails are values (NaN), never exceptions and never sentinels: a -1 or a 0
would enter means. The sign is turned once, here (`Minimised`), and nowhere else.

Variation is by wrapping: `CachedOracle(BudgetedOracle(oracle("qed"), 1000), "scores.sqlite")`.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from molvae.chem.reading import as_list
from molvae.core.config import did_you_mean
from molvae.core.errors import ConfigError, OracleError

log = logging.getLogger(__name__)

FloatArray = NDArray[np.float64]

REMEMBERED = 10_000  # molecules of which components are kept


class Oracle(ABC):
    """Scores molecules. Subclasses say how; a concrete oracle is not subclassed but wrapped.

    Attributes:
        name: short, for people: column heading, log lines.
        parameters: what the value depends on besides the name; plain JSON types.
        n_objectives: Q; an oracle with Q = 1 returns (N,), any other (N, Q).
    """

    name: str
    parameters: Mapping[str, Any] = {}
    n_objectives: int = 1

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of the Q objectives, each another."""
        several = self.n_objectives > 1
        return tuple(f"{self.name}_{q}" for q in range(self.n_objectives)) if several else (self.name,)

    @property
    def identity(self) -> str:
        """Stable JSON of name and parameters: two oracles with one identity give the same values (cache key)."""
        return json.dumps({"name": self.name, "parameters": self.parameters}, sort_keys=True, default=str)

    @abstractmethod
    def __call__(self, smiles: Sequence[str]) -> FloatArray:
        """Scores of `smiles`, in order: (N,), or (N, Q) where `n_objectives` is above 1."""

    def components(self, smiles: Sequence[str]) -> dict[str, FloatArray]:
        """What the scores are made of, in the components' own units, each (N,); empty where nothing is to tell.

        The names are the same whatever the molecules, of none too. Nobody is paid for it: what an external program says
        is known of molecules that this object has scored (the latest, if they are many), and NaN of others.
        """
        return {}

    def recall(self, smiles: Sequence[str]) -> bool:
        """Ask again about molecules whose scores were remembered, so that `components` knows what they are made of.

        Whether there were any that had not been asked about in the life of this object.
        """
        return False

    def close(self) -> None:  # noqa: B027  # most oracles hold nothing that must be given back
        """Give back processes and files; an oracle may be closed twice."""

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        inside = ", ".join([repr(self.name), *(f"{key}={value!r}" for key, value in self.parameters.items())])
        return f"{type(self).__name__}({inside})"


def within(oracle: Oracle) -> Iterator[Oracle]:
    """An oracle, and all that are wrapped in it, however deep."""
    yield oracle
    inner = getattr(oracle, "inner", None)
    for part in inner if isinstance(inner, list) else [inner]:
        if isinstance(part, Oracle):
            yield from within(part)


def unscored(n: int, n_objectives: int) -> FloatArray:
    """NaN for every molecule: (N,), or (N, Q)."""
    return np.full(n if n_objectives == 1 else (n, n_objectives), np.nan)


def finite_scores(oracle: Oracle, smiles: Sequence[str]) -> FloatArray:
    """Scores of `smiles`, (N,) or (N, Q), checked: infinities are refused, logged, and become NaN.

    Raises:
        OracleError: the oracle returned something else than a score for each molecule.
    """
    values = np.asarray(oracle(smiles), dtype=np.float64)
    expected = unscored(len(smiles), oracle.n_objectives).shape
    if values.shape != expected:
        raise OracleError(
            f"oracle {oracle.name}: expected {len(smiles)} scores, got an array of shape {values.shape}, not {expected}"
        )
    for s, value in zip(smiles, values, strict=True):
        if np.isinf(value).any():
            log.warning("oracle %s: %r scored %s, which is refused and recorded as a failure", oracle.name, s, value)
    return np.where(np.isfinite(values), values, np.nan)


def forget_oldest(known: dict[str, Any]) -> None:
    """Keep what was learnt last of `REMEMBERED` molecules."""
    for oldest in list(islice(known, max(0, len(known) - REMEMBERED))):
        known.pop(oldest, None)  # another thread may be at it as well


def log_failure(oracle: str, smiles: object, reason: str) -> None:
    """One line in the log for a molecule that could not be scored."""
    log.warning("oracle %s: %r could not be scored: %s", oracle, smiles, reason)


class Wrapped(Oracle):
    """An oracle around another one, which it resembles in all that a subclass does not say otherwise."""

    def __init__(self, inner: Oracle) -> None:
        self.inner = inner
        self.name, self.parameters, self.n_objectives = inner.name, inner.parameters, inner.n_objectives

    @property
    def objectives(self) -> tuple[str, ...]:
        return self.inner.objectives

    @property
    def identity(self) -> str:
        return self.inner.identity

    def components(self, smiles: Sequence[str]) -> dict[str, FloatArray]:
        return self.inner.components(smiles)

    def recall(self, smiles: Sequence[str]) -> bool:
        return self.inner.recall(smiles)

    def close(self) -> None:
        self.inner.close()


@final
class Minimised(Wrapped):
    """The same oracle with its sign turned, for properties of which less is better (SA score, docking energies)."""

    def __init__(self, inner: Oracle) -> None:
        super().__init__(inner)
        self.parameters = {**inner.parameters, "direction": "minimise"}

    @property
    def identity(self) -> str:
        return json.dumps({"minimise": self.inner.identity})

    def __call__(self, smiles: Sequence[str]) -> FloatArray:
        return 0.0 - self.inner(smiles)  # and not -x, which makes -0 of 0


@final
class Stacked(Oracle):
    """Several oracles side by side: (N, Q) for multi-objective search.

    Args:
        inner: the oracles, in the order of the columns.
        name: of the whole; made from the parts' names by default.
        names: of the Q objectives; the parts' own by default, numbered where two are equal.

    Raises:
        ConfigError: not one name for each objective, or two equal ones.
    """

    def __init__(self, inner: Sequence[Oracle], name: str | None = None, names: Sequence[str] | None = None) -> None:
        self.inner = list(inner)
        self.name = name or "+".join(part.name for part in self.inner)
        self.n_objectives = sum(part.n_objectives for part in self.inner)
        self.parameters = {"oracles": [json.loads(part.identity) for part in self.inner]}
        self._names = distinct([own for part in self.inner for own in part.objectives]) if names is None else [*names]
        if len(set(self._names)) != self.n_objectives or len(self._names) != self.n_objectives:
            raise ConfigError(f"expected {self.n_objectives} different names of objectives, got {self._names}")

    @property
    def objectives(self) -> tuple[str, ...]:
        return tuple(self._names)

    def __call__(self, smiles: Sequence[str]) -> FloatArray:
        smiles = as_list(smiles)
        columns = np.column_stack([part(smiles) for part in self.inner])
        return columns[:, 0] if self.n_objectives == 1 else columns

    def components(self, smiles: Sequence[str]) -> dict[str, FloatArray]:
        smiles = as_list(smiles)
        names = distinct([part.name for part in self.inner])
        parts = [part.components(smiles) for part in self.inner]
        return {f"{name}.{key}": value for name, part in zip(names, parts, strict=True) for key, value in part.items()}

    def recall(self, smiles: Sequence[str]) -> bool:
        recalled = [part.recall(smiles) for part in self.inner]  # all of them, whatever the first says
        return any(recalled)

    def close(self) -> None:
        for part in self.inner:
            part.close()


@final
class ComponentOf(Oracle):
    """One of the components that another oracle reports, as an oracle of its own; it is not closed with this one.

    Stack it behind the other where that one runs an external program (see `Oracle.components`): it asks for no score,
    except of molecules whose score alone was remembered.
    """

    def __init__(self, inner: Oracle, component: str) -> None:
        self.inner, self.name = inner, component
        self.parameters = {"of": json.loads(inner.identity)}

    def __call__(self, smiles: Sequence[str]) -> FloatArray:
        """The component's values.

        Raises:
            ConfigError: the other oracle reports none of that name.
        """
        found = self.inner.components(as_list(smiles))
        if self.name not in found:
            choices = f" (choices: {', '.join(found)})" if found else "; it reports none"
            raise ConfigError(
                f"oracle {self.inner.name} has no component {self.name!r}{did_you_mean(self.name, [*found])}{choices}"
            )
        unknown = [each for each, value in zip(smiles, found[self.name], strict=True) if np.isnan(value)]
        if unknown and self.inner.recall(unknown):
            found = self.inner.components(as_list(smiles))
        return found[self.name]


def distinct(names: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """The names, one that is there already numbered until it is free.

    >>> distinct(["a", "b", "a"], taken=["b"])
    ['a', 'b_2', 'a_2']
    """
    result: list[str] = []
    for name in names:
        numbered = (name if n == 1 else f"{name}_{n}" for n in count(1))
        result.append(next(each for each in numbered if each not in result and each not in taken))
    return result
