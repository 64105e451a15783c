"""The record of a search: every molecule scored, as a finished Optuna trial in a journal file.

Optuna is the record and the dashboard (`optuna-dashboard RUN/journal.log`), not the optimiser: a finished trial costs
milliseconds and survives `kill -9`. What a kill can leave behind is repaired on opening: a torn last line, which would
break the next write, and a stale lock file, which would block it. Nobody else may write meanwhile; the run holds its
directory (`core.files.exclusive`).
"""

from __future__ import annotations

import heapq
import json
import math
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from molvae.chem.molecules import LARGEST_DRAWN
from molvae.core.errors import DataError
from molvae.core.files import nan_as_none, none_as_nan, write_text

if TYPE_CHECKING:
    import optuna

STUDY = "search"
FIRST_BYTES = b'{"op_code":'  # of every journal
ARTIFACTS = "artifacts"  # start the dashboard with --artifact-dir RUN/artifacts to see the pictures


@dataclass(frozen=True)
class Record:
    """One molecule scored.

    Attributes:
        call: 1 for the first oracle call, 2 for the second, ...
        smiles: canonical.
        value: score; NaN where the oracle could not score it, and of several objectives, which are no one number.
        proposer: what proposed it.
        batch, asked, size: number of its batch, how many molecules were asked for, how many were proposed. With several
            workers each record is a batch of size 1; `asked` is 0 where nothing was asked since the one before.
        seconds: share of the oracle's wall time.
        constraints: amount by which each constraint is broken; 0 or less is fine.
        note: what the search noted when it proposed the batch, with the batch's first record.
        objectives: the values of several objectives; empty where there is one.
        outcomes: what the oracle said of each constraint that only it can tell, in its own unit; also in `constraints`.
    """

    call: int
    smiles: str
    value: float
    proposer: str
    batch: int
    asked: int
    size: int
    seconds: float
    constraints: dict[str, float] = field(default_factory=dict)
    note: list[str] = field(default_factory=list)
    objectives: list[float] = field(default_factory=list)
    outcomes: dict[str, float] = field(default_factory=dict)

    @property
    def scores(self) -> list[float]:
        """The values of all objectives, (Q,)."""
        return self.objectives or [self.value]

    @property
    def scored(self) -> bool:
        """Whether the oracle could score the molecule, in every objective."""
        return all(math.isfinite(v) for v in self.scores)

    @property
    def told(self) -> Any:
        """What a search is told: the score or, where there is more, a row of scores and outcomes."""
        return [*self.scores, *self.outcomes.values()] if self.objectives or self.outcomes else self.value

    @property
    def feasible(self) -> bool:
        """Whether no constraint is broken."""
        return all(amount <= 0 for amount in self.constraints.values())


class Ledger:
    """All records of a search, in memory and, where a path is given, in a journal file.

    Args:
        path: journal file to continue or to begin; None keeps the records in memory only.
        about: what the study is, shown by the dashboard.
        pictures: how many of the best have a picture, in the folder `artifacts` beside the journal; of several
            objectives, whatever no earlier molecule dominated, if not 0.
        objectives: their names.
        search: what makes it the same search, if that is to be checked.

    Raises:
        DataError: the file is no journal or a damaged one, or records another search, or one with another number of
            objectives.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        about: dict[str, Any] | None = None,
        pictures: int = 10,
        objectives: Sequence[str] = ("value",),
        search: str | None = None,
    ) -> None:
        self.records: list[Record] = []
        self.objectives = tuple(objectives)
        self.pictures = pictures
        self._best: list[float] = []  # a heap of the `pictures` best scores
        self._front: list[list[float]] = []  # scores that no others dominate, of several objectives
        self._study: optuna.Study | None = None
        if path is None:
            return
        self.path = Path(path).resolve()  # or optuna looks for it in whatever folder is current at each write
        self.path.parent.mkdir(parents=True, exist_ok=True)
        repair(self.path)
        self._study = _open_study(self.path, objectives)
        if search is not None:
            if self._study.user_attrs.get("search", search) != search:
                raise DataError(
                    f"{self.path} records another search: of another oracle, or with another seed, method, batch size, "
                    "constraints, or contents of the files or the model it began with; begin anew, or in another place"
                )
            about = {**(about or {}), "search": search}
        for key, value in (about or {}).items():
            if self._study.user_attrs.get(key) != value:
                self._study.set_user_attr(key, value)
        self.records = _records(self._study)
        for record in self.records:
            self._is_among_best(record)

    def __len__(self) -> int:
        return len(self.records)

    def add(self, record: Record) -> None:
        """Record a molecule; on return it is on the disk. Those among the best so far get a picture."""
        self.records.append(record)
        best = self._is_among_best(record)
        if self._study is not None:
            self._study.add_trial(_trial(record, self._picture(record) if best else {}))

    @property
    def standing(self) -> dict[str, float]:
        """The best score so far and the mean of the ten best; empty where nothing has a score of its own."""
        top = heapq.nlargest(10, (r.value for r in self.records if r.feasible and math.isfinite(r.value)))
        return {"best": top[0], "top10": sum(top) / len(top)} if top else {}

    @property
    def front_size(self) -> int:
        """Number of different values on the front of several objectives; 0 of one."""
        return len(self._front)

    def _picture(self, record: Record) -> dict[str, str]:
        """Write the picture of a molecule; returns what tells Optuna of it.

        Optuna attaches artifacts to running trials only, and ours are finished when they are made; so the attribute
        that `optuna.artifacts.upload_artifact` would set is set here.
        """
        name = f"{record.call:08x}"  # the dashboard asks for hexadecimal digits only
        write_text(self.path.parent / ARTIFACTS / name, picture(record.smiles))
        file = f"molecule-{record.call}.svg"
        about = {"artifact_id": name, "filename": file, "mimetype": "image/svg+xml", "encoding": None}
        return {f"artifacts:{name}": json.dumps(about)}

    def _is_among_best(self, record: Record) -> bool:
        """Whether a molecule is one of the `pictures` best so far (of several objectives, not dominated); notes it."""
        if not (record.feasible and record.scored):
            return False
        if record.objectives:
            new = record.objectives
            if any(all(a >= b for a, b in zip(old, new, strict=True)) for old in self._front):
                return False
            beaten = [old for old in self._front if all(b >= a for a, b in zip(old, new, strict=True))]
            self._front = [*(old for old in self._front if old not in beaten), new]
            return self.pictures > 0
        if self.pictures == 0:
            return False
        if len(self._best) == self.pictures and record.value <= self._best[0]:
            return False
        (heapq.heappush if len(self._best) < self.pictures else heapq.heappushpop)(self._best, record.value)
        return True

    def batches(self) -> list[list[Record]]:
        """The records by batch, in order."""
        found: dict[int, list[Record]] = {}
        for record in self.records:
            found.setdefault(record.batch, []).append(record)
        return [found[b] for b in sorted(found)]


def read_records(path: Path) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """The records of a journal, which a search may be writing to, and the names of its objectives.

    Raises:
        DataError: the file is no journal, or a damaged one.
    """
    import optuna

    with TemporaryDirectory() as elsewhere:
        copy = Path(shutil.copy(path, elsewhere))
        repair(copy)
        try:
            study = optuna.load_study(study_name=STUDY, storage=_storage(copy, named=path))
        except KeyError:
            raise DataError(f"{path}: holds no search yet") from None
        return tuple(_records(study)), tuple(study.metric_names or ("value",))


def repair(path: Path) -> None:
    """Make a journal writable again after a kill: cut a torn last line off, remove the locks of the dead process.

    Raises:
        DataError: it is no journal; nothing of it is touched.
    """
    if path.is_dir():
        raise DataError(f"{path}: is a folder; expected the name of a file for the record of the search")
    data = path.read_bytes() if path.exists() else b""
    if not (data.startswith(FIRST_BYTES) or FIRST_BYTES.startswith(data)):
        raise DataError(f"{path}: is not the record of a search; name another file, which nothing else is written to")
    for lock in path.parent.glob(f"{path.name}.lock*"):
        lock.unlink(missing_ok=True)
    whole = data[: data.rfind(b"\n") + 1]
    while whole and not _is_json(last := whole[whole.rfind(b"\n", 0, -1) + 1 :]):
        whole = whole[: len(whole) - len(last)]
    if len(whole) < len(data):
        with open(path, "r+b") as handle:
            handle.truncate(len(whole))


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _open_study(path: Path, objectives: Sequence[str]) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=STUDY,
        storage=_storage(path),
        sampler=optuna.samplers.RandomSampler(seed=0),
        directions=["maximize"] * len(objectives),
        load_if_exists=True,
    )
    if len(study.directions) != len(objectives):
        raise DataError(
            f"{path} records a search with {len(study.directions)} objectives, this one has {len(objectives)}; "
            "choose another run directory, or --fresh to begin anew"
        )
    if len(objectives) > 1 and study.metric_names != list(objectives):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental since 2023; without the names the dashboard numbers them
            study.set_metric_names(list(objectives))
    return study


def _storage(path: Path, named: Path | None = None) -> optuna.storages.JournalStorage:
    """The journal, read; errors name another file, where it is the copy of one.

    Raises:
        DataError: it is damaged.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    backend = JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
    try:
        return optuna.storages.JournalStorage(backend)
    except json.JSONDecodeError as error:  # a torn last line has been cut off before
        lines = path.read_bytes().splitlines()
        damaged = next(number for number, line in enumerate(lines, start=1) if not _is_json(line))
        raise DataError(
            f"{named or path}: line {damaged} of {len(lines)} is damaged ({error}); put a copy from before in its "
            "place, cut the file off before that line, or begin anew"
        ) from None


def _records(study: optuna.Study) -> list[Record]:
    return [_record(trial.user_attrs) for trial in study.get_trials(deepcopy=False)]


def picture(smiles: str) -> str:
    """A molecule as SVG; an empty one where it is too large to be drawn."""
    from rdkit import Chem
    from rdkit.Chem.Draw import rdMolDraw2D

    drawing, mol = rdMolDraw2D.MolDraw2DSVG(300, 240), Chem.MolFromSmiles(smiles)
    if mol.GetNumHeavyAtoms() <= LARGEST_DRAWN:
        rdMolDraw2D.PrepareAndDrawMolecule(drawing, mol)
    drawing.FinishDrawing()
    return str(drawing.GetDrawingText())


def _trial(record: Record, artifacts: dict[str, str]) -> optuna.trial.FrozenTrial:
    """A finished trial; failed where there is no score, since NaN and infinities must never become the best value."""
    from optuna.trial import TrialState, create_trial

    attributes = nan_as_none(asdict(record)) | {"feasible": record.feasible}
    # optuna-dashboard 0.21 reads only the old list of constraints, and would call infeasible molecules the best
    old_list: dict[str, Any] = {"constraints": list(record.constraints.values())} if record.constraints else {}
    return create_trial(
        state=TrialState.COMPLETE if record.scored else TrialState.FAIL,
        values=record.scores if record.scored else None,
        user_attrs=attributes,
        system_attrs={**old_list, **artifacts},
        constraints=record.constraints or None,
    )


def _record(attributes: dict[str, Any]) -> Record:
    """A record from a trial's attributes; a journal from before several objectives lacks the last two."""
    kept = {name: attributes[name] for name in Record.__dataclass_fields__ if name in attributes}
    numbers = ("value", "constraints", "objectives", "outcomes")
    return Record(**{name: none_as_nan(value) if name in numbers else value for name, value in kept.items()})
