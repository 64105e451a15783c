"""Oracles around oracles: a cache on disk, and a budget.

Both look at molecules, not at strings: a SMILES is canonicalised first (isomeric), the inner oracle is asked about the
canonical form and about each molecule once, and an invalid SMILES is NaN without anybody being asked. For the few
definitions that depend on the atom order (penalised logP with "nx"), the value is therefore that of the canonical
SMILES.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import numpy as np
import rdkit

from molvae.chem.molecules import canonical
from molvae.chem.reading import as_list
from molvae.core.errors import BudgetExhausted, ConfigError, OracleError
from molvae.core.files import sha256_text
from molvae.oracles.oracle import FloatArray, Oracle, Wrapped, unscored

log = logging.getLogger(__name__)

_FORMAT = 1  # of the cache file (PRAGMA user_version)
_AT_ONCE = 500  # SQLite's limit on the parameters of one statement is above this everywhere


def _each_once(keys: Sequence[str | None]) -> list[str]:
    return list(dict.fromkeys(key for key in keys if key is not None))


def _assemble(keys: Sequence[str | None], known: Mapping[str, Any], width: int) -> FloatArray:
    """Values by canonical SMILES in the order asked for: (N,), or (N, width)."""
    values = unscored(len(keys), width)
    for index, key in enumerate(keys):
        if key is not None:
            values[index] = known[key]
    return values


def _digest(identity: str) -> str:
    return sha256_text(identity)[:32]


@final
class BudgetedOracle(Wrapped):
    """Scores at most `budget` distinct molecules.

    A molecule that was scored before is answered from memory and costs nothing; so does an invalid SMILES. A molecule
    on which the oracle failed (NaN) has been paid for.

    Args:
        inner: the oracle to pay for.
        budget: distinct canonical molecules.
        known: what an earlier run has paid for, canonical SMILES to value; counts against the budget.
    """

    def __init__(self, inner: Oracle, budget: int, known: Mapping[str, Any] | None = None) -> None:
        super().__init__(inner)
        if budget < 1:
            raise ConfigError(f"expected a budget of at least 1 molecule, got {budget}")
        self.budget = budget
        self._known: dict[str, Any] = dict(known or {})

    @property
    def used(self) -> int:
        """Distinct molecules scored so far."""
        return len(self._known)

    @property
    def remaining(self) -> int:
        """Distinct molecules that can still be scored."""
        return max(0, self.budget - len(self._known))

    def __call__(self, smiles: Sequence[str]) -> FloatArray:
        """Scores, in order.

        Raises:
            BudgetExhausted: more new molecules than `remaining`; none of them has been scored.
        """
        keys = [canonical(each) for each in as_list(smiles)]
        new = [key for key in _each_once(keys) if key not in self._known]
        if len(new) > self.remaining:
            raise BudgetExhausted(
                f"oracle {self.name}: {len(new)} new molecules asked for, {self.remaining} of {self.budget} left; "
                "ask for fewer (`remaining` tells how many) or raise the budget"
            )
        if new:
            self._known.update(zip(new, self.inner(new), strict=True))
        return _assemble(keys, self._known, self.n_objectives)

    def components(self, smiles: Sequence[str]) -> dict[str, FloatArray]:
        """Of molecules that have been paid for; NaN of others."""
        keys = [key if key in self._known else None for key in map(canonical, as_list(smiles))]
        wanted = _each_once(keys)
        found = self.inner.components(wanted)
        return {name: _assemble(keys, dict(zip(wanted, part, strict=True)), 1) for name, part in found.items()}


@final
class CachedOracle(Wrapped):
    """Remembers scores and components in an SQLite file, across runs and processes.

    The key is the oracle's identity (name and parameters), the RDKit version and the canonical SMILES. Failures (NaN)
    are remembered only as long as this object lives, so that a passing trouble is not kept for ever; components that
    are NaN not at all, since they may become known when the molecule is scored.

    Args:
        inner: the oracle.
        path: the file; made where it is not there.

    Raises:
        OracleError: the file is damaged, is something else, or cannot be written.
    """

    def __init__(self, inner: Oracle, path: str | Path) -> None:
        super().__init__(inner)
        self.path = Path(path)
        self._failed: dict[str, Any] = {}
        self._asked: set[str] = set()  # what the inner oracle has been asked, and could tell more about
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.path, timeout=60, check_same_thread=False, isolation_level=None)
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise self._trouble(error) from error

    def _prepare(self) -> None:
        run = self._database.execute
        with self._database:  # commits, or rolls back
            run("BEGIN IMMEDIATE")  # several processes may arrive here at once
            found = run("PRAGMA user_version").fetchone()[0]
            if found != _FORMAT and run("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise sqlite3.DatabaseError(f"it is no score cache of format {_FORMAT}")
            run("CREATE TABLE IF NOT EXISTS oracle (key TEXT PRIMARY KEY, identity TEXT NOT NULL)")
            run(
                "CREATE TABLE IF NOT EXISTS score (oracle TEXT, rdkit TEXT, smiles TEXT, value TEXT NOT NULL,"
                " PRIMARY KEY (oracle, rdkit, smiles)) WITHOUT ROWID"
            )
            run(f"PRAGMA user_version={_FORMAT}")
        with suppress(sqlite3.OperationalError):  # another process is at it: then it, or the next one, changes the mode
            run("PRAGMA journal_mode=WAL")  # readers and one writer at the same time; survives kill -9
        run("PRAGMA synchronous=NORMAL")

    def _trouble(self, error: Exception) -> OracleError:
        return OracleError(
            f"the score cache {self.path} cannot be used ({error}); "
            "move it away and it will be made anew, or name another file"
        )

    def __call__(self, smiles: Sequence[str]) -> FloatArray:
        keys = [canonical(each) for each in as_list(smiles)]
        return _assemble(keys, self._known(self.identity, keys, self._ask, self._failed), self.n_objectives)

    def _ask(self, smiles: list[str]) -> FloatArray:
        self._asked.update(smiles)
        return self.inner(smiles)

    def recall(self, smiles: Sequence[str]) -> bool:
        keys = [key for key in _each_once([canonical(each) for each in as_list(smiles)]) if key not in self._asked]
        remembered = [*self._read(_digest(self.identity), keys)]
        if remembered:
            self._ask(remembered)
        return bool(remembered)

    def components(self, smiles: Sequence[str]) -> dict[str, FloatArray]:
        keys = [canonical(each) for each in as_list(smiles)]
        names = [*self.inner.components([])]

        def rows(new: list[str]) -> FloatArray:
            found = self.inner.components(new)
            return np.column_stack([found[name] for name in names])

        identity = json.dumps({"components": names, "of": self.identity})
        known = self._known(identity, keys, rows, {}) if names else {}
        return {
            name: _assemble(keys, {key: row[index] for key, row in known.items()}, 1)
            for index, name in enumerate(names)
        }

    def _known(
        self, identity: str, keys: Sequence[str | None], ask: Callable[[list[str]], FloatArray], failed: dict[str, Any]
    ) -> dict[str, Any]:
        """What belongs to `identity`, by molecule: from the file where it is there, else what `ask` says; failures that
        are there are not asked again, and new ones go there."""
        oracle, wanted = _digest(identity), _each_once(keys)
        known = self._read(oracle, wanted)
        known.update((key, failed[key]) for key in wanted if key in failed)
        if new := [key for key in wanted if key not in known]:
            found = dict(zip(new, ask(new), strict=True))
            self._write(oracle, identity, {key: value for key, value in found.items() if np.isfinite(value).all()})
            failed.update((key, value) for key, value in found.items() if not np.isfinite(value).all())
            known.update(found)
        return known

    def _read(self, oracle: str, keys: list[str]) -> dict[str, Any]:
        known: dict[str, Any] = {}
        try:
            with self._lock:
                for start in range(0, len(keys), _AT_ONCE):
                    part = keys[start : start + _AT_ONCE]
                    marks = ",".join("?" * len(part))
                    rows = self._database.execute(
                        f"SELECT smiles, value FROM score WHERE oracle=? AND rdkit=? AND smiles IN ({marks})",
                        (oracle, rdkit.__version__, *part),
                    )
                    known.update((smiles, json.loads(value)) for smiles, value in rows)
        except (sqlite3.Error, ValueError) as error:
            raise self._trouble(error) from error
        return known

    def _write(self, oracle: str, identity: str, found: Mapping[str, Any]) -> None:
        rows = [
            (oracle, rdkit.__version__, key, json.dumps(np.asarray(value).tolist())) for key, value in found.items()
        ]
        if not rows:
            return
        try:
            with self._lock, self._database:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.execute("INSERT OR IGNORE INTO oracle VALUES (?, ?)", (oracle, identity))
                self._database.executemany("INSERT OR REPLACE INTO score VALUES (?, ?, ?, ?)", rows)
        except sqlite3.Error as error:  # a full disk must not throw away scores that have been paid for
            log.warning("the score cache %s could not be written (%s); going on without", self.path, error)

    def close(self) -> None:
        super().close()  # first: a call of another thread that this ends still writes what it has
        self._database.close()
