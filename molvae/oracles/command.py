"""An external program as an oracle: docking, a model in another environment, another language.

Contract, version 1. molvae starts the command, writes one SMILES a line to its stdin and closes it. The command writes
one JSON object a line to stdout, for each molecule, in any order, as soon as it has it:

    {"version": 1, "smiles": "CCO", "value": -7.2}

`smiles` is the string as it came, `value` a number (a list of Q numbers for Q objectives) or null for "could not be
scored"; `version` may be left out. Larger is better: for an energy, ask for `direction="minimise"`. stderr is the
program's own; its end, 1,000 bytes at most, is logged with a failure, and the rest is lost unless `stderr_path` names a
file. A program that buffers its output must flush after each line, or the time-out strikes at the wrong molecule.

Whatever goes wrong costs one molecule: garbage lines are logged and left out; on a time-out, a crash or an early end
the answers so far are kept, the first molecule without an answer is NaN, and the command is started again with the
others. A start that gave no answer at all is repeated with the first molecule alone, then with two, four and so on, so
that no molecule is NaN on account of its neighbours. A command that has never answered anything is given up, with an
`OracleError`, after 20 different molecules.
"""

from __future__ import annotations

import json
import logging
import math
import shlex
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, BinaryIO, final

from pydantic import Field

from molvae.chem.molecules import parse
from molvae.chem.reading import as_list
from molvae.core.config import Spec
from molvae.core.errors import ConfigError, OracleError
from molvae.oracles.isolation import LineReader, kill_group
from molvae.oracles.oracle import FloatArray, Oracle, log_failure, unscored

log = logging.getLogger(__name__)

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

CONTRACT_VERSION = 1
_LONGEST_LINE = 1 << 20  # bytes; an answer is far shorter
_HOPELESS = 20  # different molecules that failed, and not one answer since the oracle was made


class CommandSettings(Spec):
    """What `CommandOracle` takes."""

    command: str | tuple[str | Path | int | float, ...]
    timeout_seconds: Seconds = 60.0
    name: str | None = None
    version: str | int | float = ""
    n_objectives: Annotated[int, Field(ge=1)] = 1
    batch_size: Annotated[int, Field(ge=1)] | None = None
    stderr_path: Path | None = None


@final
class CommandOracle(Oracle):
    """Scores molecules by running a command (see the module's contract).

    Args:
        command: the program and its arguments, as a list or as one string (split as a shell would, without running
            one).
        timeout_seconds: longest wait for the next answer.
        name: default, the program's file name.
        version: enters the cache key; change it when the program's values change.
        n_objectives: Q.
        batch_size: molecules given to one start of the program; None gives it all.
        stderr_path: file to which the program's stderr is appended; None uses a temporary one without a name.
    """

    def __init__(
        self,
        command: str | Sequence[str | Path | int | float],
        *,
        timeout_seconds: float = 60.0,
        name: str | None = None,
        version: str | int | float = "",
        n_objectives: int = 1,
        batch_size: int | None = None,
        stderr_path: str | Path | None = None,
    ) -> None:
        try:
            self.command = shlex.split(command) if isinstance(command, str) else [str(part) for part in command]
        except ValueError as error:
            raise ConfigError(f"expected a command as for a shell, got {command!r} ({error})") from None
        if not self.command:
            raise ConfigError("expected a command, got an empty one")
        if not 0 < timeout_seconds < math.inf:
            raise ConfigError(f"expected a finite timeout_seconds > 0, got {timeout_seconds}")
        self.timeout_seconds, self.n_objectives, self.batch_size = timeout_seconds, n_objectives, batch_size
        self.stderr_path = None if stderr_path is None else Path(stderr_path)
        self.name = name or Path(self.command[0]).stem
        self.parameters = {"command": self.command, "version": version}
        self._live: set[subprocess.Popen[bytes]] = set()
        self._answered, self._failed = False, set[str]()

    def __call__(self, smiles: Sequence[str]) -> FloatArray:
        smiles = as_list(smiles)
        values = unscored(len(smiles), self.n_objectives)
        usable = [each for each in dict.fromkeys(smiles) if parse(each) is not None and not _splits(each)]
        answers: dict[str, Any] = {}
        step = self.batch_size or max(1, len(usable))
        for start in range(0, len(usable), step):
            answers.update(self._batch(usable[start : start + step]))
        for index, each in enumerate(smiles):
            if each in answers:
                values[index] = answers[each]
        return values

    def _batch(self, smiles: list[str]) -> dict[str, Any]:
        """Answers for distinct molecules, starting the command as often as it takes."""
        answers: dict[str, Any] = {}
        waiting, size = list(smiles), len(smiles)
        while waiting:
            given = waiting[:size]
            found, reason = self._run(given)
            answers.update(found)
            self._answered = self._answered or bool(found)
            missing = [each for each in given if each not in found]
            if missing and (found or len(given) == 1):
                self._fail(missing.pop(0), reason)
            elif missing:
                log.warning("oracle %s: no answer for %d molecules together: %s", self.name, len(given), reason)
            waiting = missing + waiting[size:]
            size = 2 * size if found else 1  # of many without an answer nobody knows which one is to blame
        return answers

    def _fail(self, smiles: str, reason: str) -> None:
        log_failure(self.name, smiles, reason)
        if self._answered:
            return
        self._failed.add(smiles)
        if len(self._failed) >= _HOPELESS:
            raise OracleError(
                f"oracle {self.name}: {self.command[0]!r} failed on each of {len(self._failed)} molecules and has "
                f"never answered anything; does it run by hand? The last failure: {reason}"
            )

    def _run(self, smiles: list[str]) -> tuple[dict[str, Any], str]:
        """One start of the command: what it answered, and why it answered no more."""
        with tempfile.TemporaryFile() as source, self._stderr() as errors:
            source.write("".join(f"{each}\n" for each in smiles).encode())
            source.seek(0)
            try:  # stdin and stderr are files: no pipe can fill up and block
                process = subprocess.Popen(
                    self.command, stdin=source, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
                )
            except OSError as error:
                raise OracleError(f"oracle {self.name}: cannot run {self.command[0]!r}: {error.strerror}") from error
            assert process.stdout is not None
            self._live.add(process)
            try:
                found, reason = self._read(LineReader(process.stdout.fileno(), _LONGEST_LINE), set(smiles))
                if reason is None:
                    status = process.wait(self.timeout_seconds)
                    reason = f"the command ended with exit status {status} and without an answer"
            except subprocess.TimeoutExpired:
                reason = "the command closed its output and did not end"
            finally:
                kill_group(process)
                self._live.discard(process)
                process.stdout.close()
            if len(found) < len(smiles):
                reason += _tail(errors)
            return found, reason

    def _read(self, reader: LineReader, wanted: set[str]) -> tuple[dict[str, Any], str | None]:
        """Answers until the stream ends (then no reason), the time is over or the output is hopeless."""
        found: dict[str, Any] = {}
        deadline = time.monotonic() + self.timeout_seconds
        while len(found) < len(wanted):
            n_found = len(found)
            try:
                line = reader.line(deadline - time.monotonic())
            except TimeoutError:
                return found, f"no answer within {self.timeout_seconds:g} s"
            except ValueError as error:
                return found, f"the command wrote {error}"
            if line is None:
                return found, None
            if line.strip():
                self._take(line, wanted, found)
            if len(found) > n_found:  # whatever else it prints gives it no more time
                deadline = time.monotonic() + self.timeout_seconds
        return found, ""

    def _take(self, line: bytes, wanted: set[str], found: dict[str, Any]) -> None:
        """Add one line's answer to `found`; a line that breaks the contract is logged and left out."""
        try:
            answer = json.loads(line)
            version, smiles, value = answer.get("version", CONTRACT_VERSION), answer["smiles"], answer["value"]
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            log.warning("oracle %s: expected a JSON object with smiles and value, got %.200r", self.name, line)
            return
        if version != CONTRACT_VERSION:
            raise OracleError(
                f"oracle {self.name}: the command speaks version {version} of the contract, molvae {CONTRACT_VERSION}"
            )
        if not isinstance(smiles, str) or smiles not in wanted:
            log.warning("oracle %s: an answer for %.200r, which was not asked for", self.name, smiles)
        elif smiles in found:
            log.warning("oracle %s: a second answer for %r left out", self.name, smiles)
        else:
            found[smiles] = self._number(smiles, value)

    def _number(self, smiles: str, value: Any) -> float | list[float]:
        given = [value] if self.n_objectives == 1 else value
        if isinstance(given, list) and len(given) == self.n_objectives and all(map(_is_finite, given)):
            return float(value) if self.n_objectives == 1 else [float(each) for each in given]
        wanted = "a number" if self.n_objectives == 1 else f"a list of {self.n_objectives} numbers"
        log_failure(self.name, smiles, f"expected {wanted} as the command's value, got {json.dumps(value):.200}")
        return math.nan if self.n_objectives == 1 else [math.nan] * self.n_objectives

    def close(self) -> None:
        """End the commands that run on behalf of other threads."""
        for process in list(self._live):
            kill_group(process)

    def _stderr(self) -> BinaryIO:
        if self.stderr_path is None:
            return tempfile.TemporaryFile()  # type: ignore[return-value]
        try:
            self.stderr_path.parent.mkdir(parents=True, exist_ok=True)
            return open(self.stderr_path, "a+b")
        except OSError as error:
            raise OracleError(
                f"oracle {self.name}: stderr_path {self.stderr_path} cannot be written ({error.strerror}); "
                "name another file, or leave it out"
            ) from error


def _is_finite(value: Any) -> bool:
    """Whether something out of JSON is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of 400 digits
        return False


def _splits(smiles: str) -> bool:
    """Whether a string would be read as several lines (or is no text that can be sent)."""
    return len(smiles.splitlines()) != 1 or not smiles.isprintable()


def _tail(errors: BinaryIO, size: int = 1000) -> str:
    """The last words on stderr, for the log."""
    errors.seek(0, 2)
    errors.seek(max(0, errors.tell() - size))
    text = errors.read().decode(errors="replace").strip()
    return f"; its stderr ends: {text}" if text else ""
