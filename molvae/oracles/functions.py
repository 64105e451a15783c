"""Any Python function as an oracle."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, final

import cloudpickle
import numpy as np

from molvae.chem.molecules import parse
from molvae.chem.reading import as_list
from molvae.core.errors import ConfigError, OracleError
from molvae.oracles.codehash import code_hash
from molvae.oracles.oracle import FloatArray, Oracle, log_failure, unscored

log = logging.getLogger(__name__)


class _Unusable(Exception):
    """The function returned something that is no answer; the message says what."""


@final
class FunctionOracle(Oracle):
    """A function, called in this process (wrap it in `ParallelOracle` to survive crashes and hangs).

    Args:
        function: takes one SMILES and returns a number (or Q numbers); with `batch`, takes a list of SMILES and
            returns one number (or Q) for each, in order.
        batch: see above. A list of several with which the function raises, or for which it does not return as many
            answers, is given to it again one molecule at a time, so that one bad molecule costs no others.
        name: default, the function's own name.
        n_objectives: Q.
        version: anything that changes when the function's values change for a reason that its own module does not show
            (a helper in another module, a data file, what cannot be pickled): it enters the cache key, with a hash of
            the function's code and of what it has captured; of a class instance, of its class and its attributes.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        batch: bool = False,
        name: str | None = None,
        n_objectives: int = 1,
        version: str = "",
    ) -> None:
        if not callable(function):
            raise ConfigError(f"expected a name, an oracle or a function, got {function!r}")
        self.function, self.batch, self.n_objectives = function, batch, n_objectives
        self.name = str(name or getattr(function, "__name__", type(function).__name__))
        self.parameters = {"function": code_hash(function), "version": version}

    def __call__(self, smiles: Sequence[str]) -> FloatArray:
        smiles = as_list(smiles)
        values = unscored(len(smiles), self.n_objectives)
        usable = [index for index, each in enumerate(smiles) if parse(each) is not None]  # an invalid SMILES is NaN
        steps = [usable] if self.batch else [[index] for index in usable]
        for step in filter(None, steps):
            values[step] = self._scores([smiles[index] for index in step])
        return values

    def _scores(self, smiles: list[str]) -> FloatArray:
        """Of valid molecules that go to the function together; what is no finite number becomes NaN and is logged."""
        try:
            values = self._answer(smiles)
        except Exception as error:
            reason = str(error) if isinstance(error, _Unusable) else f"{type(error).__name__}: {error}"
            if len(smiles) == 1:
                log_failure(self.name, smiles[0], reason)
                return unscored(1, self.n_objectives)
            n = len(smiles)
            log.warning("oracle %s: %d molecules together failed (%s); trying each alone", self.name, n, reason)
            return np.concatenate([self._scores([each]) for each in smiles])
        good = np.isfinite(values) if values.ndim == 1 else np.isfinite(values).all(axis=1)
        for index in np.flatnonzero(~good):
            log_failure(self.name, smiles[index], f"the value is {values[index]}")
        values[~good] = np.nan
        return values

    def _answer(self, smiles: list[str]) -> FloatArray:
        """What the function returns, as an array of the right shape.

        Raises:
            _Unusable: it is something else.
        """
        result = self.function(smiles if self.batch else smiles[0])
        if result is None:
            raise _Unusable("the function returned None; does it lack a return?")
        n, q = len(smiles), self.n_objectives
        try:
            array = np.array(result, dtype=float)
        except (TypeError, ValueError, OverflowError):
            array = np.empty(0)
        if not _fits(array.shape, n, q):
            wanted = f"{'one number' if q == 1 else f'{q} numbers'} for {'a molecule' if n == 1 else f'each of {n}'}"
            hint = f"; are they objectives (n_objectives={array.size}), or does it take a list (batch=True)?"
            raise _Unusable(f"expected {wanted}, got {result!r:.200}{hint if n == q == 1 < array.size else ''}")
        return array.reshape(unscored(n, q).shape)


def _fits(shape: tuple[int, ...], n: int, q: int) -> bool:
    """Whether an answer is (N, Q); of one objective (N,) too, of one molecule (Q,) too. (Q, N) is not: its values would
    go to the wrong molecules."""
    if n == 1 and shape == (() if q == 1 else (q,)):
        return True
    return shape == (n, q) or (q == 1 and shape == (n,))


def pickled(oracle: Oracle) -> bytes:
    """The oracle for another process; functions of a script, lambdas and closures travel by value.

    Raises:
        OracleError: something inside cannot be sent.
    """
    try:
        return cloudpickle.dumps(oracle)
    except Exception as error:
        raise OracleError(
            f"oracle {oracle.name!r} cannot be sent to another process ({type(error).__name__}: {error}); "
            "open files, locks and devices inside the function, do not capture them; or build it with isolate=False"
        ) from error
