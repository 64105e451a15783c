"""Any Python function as an oracle."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, final

import cloudpickle
import numpy as np

from molvae.chem.molecules import parse
from molvae.core.errors import ConfigError, OracleError
from molvae.oracles.oracle import FloatArray, Oracle, as_list, log_failure, unscored

log = logging.getLogger(__name__)


@final
class FunctionOracle(Oracle):
    """A function, called in this process (wrap it in `IsolatedOracle` to survive crashes and hangs).

    Args:
        function: takes one SMILES and returns a number (or Q numbers); with `batch`, takes a list of SMILES and
            returns one number (or Q) for each, in order.
        batch: see above.
        name: default, the function's own name.
        n_objectives: Q.
        version: anything that changes when the function's values change for a reason that its own code does not show (a
            helper in another module, a data file): it enters the cache key.
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
        self.parameters = {"function": _fingerprint(function), "version": version}

    def __call__(self, smiles: Sequence[str]) -> FloatArray:
        smiles = as_list(smiles)
        values = unscored(len(smiles), self.n_objectives)
        usable = [index for index, each in enumerate(smiles) if parse(each) is not None]  # an invalid SMILES is NaN
        steps = [usable] if self.batch else [[index] for index in usable]
        for step in filter(None, steps):
            asked = [smiles[index] for index in step]
            values[step] = self._checked(asked, self._call(asked))
        return values

    def _call(self, smiles: list[str]) -> Any:
        try:
            return self.function(smiles if self.batch else smiles[0])
        except Exception as error:
            log_failure(self.name, smiles if self.batch else smiles[0], f"{type(error).__name__}: {error}")
            return None

    def _checked(self, smiles: list[str], result: Any) -> FloatArray:
        """The function's answer as an array of the right shape; what is no finite number becomes NaN and is logged."""
        values = unscored(len(smiles), self.n_objectives)
        if result is None:
            return values
        try:
            array = np.asarray(result, dtype=float)
            values[...] = array.reshape(values.shape)
        except (TypeError, ValueError):
            wanted = f"{values.size} numbers for {len(smiles)} molecules"
            log_failure(self.name, smiles, f"expected {wanted}, got {result!r:.200}")
            return values
        good = np.isfinite(values) if values.ndim == 1 else np.isfinite(values).all(axis=1)
        for index in np.flatnonzero(~good):
            log_failure(self.name, smiles[index], f"the value is {values[index]}")
        values[~good] = np.nan
        return values


def _fingerprint(function: Callable[..., Any]) -> str:
    """A hash that changes with the function's code, defaults and captured values."""
    digest = hashlib.sha256()
    code = getattr(function, "__code__", None)
    if isinstance(code, CodeType):
        _add_code(digest, code)
    try:
        digest.update(cloudpickle.dumps(function))
    except Exception as error:
        log.debug("%r cannot be pickled (%s): only its code tells it from others", function, error)
    return digest.hexdigest()[:32]


def _add_code(digest: Any, code: CodeType) -> None:
    digest.update(code.co_code)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _add_code(digest, constant)
        else:
            digest.update(repr(constant).encode())


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
