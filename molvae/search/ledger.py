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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molvae.core.files import write_text

if TYPE_CHECKING:
    import optuna

STUDY = "search"
ARTIFACTS = "artifacts"  # start the dashboard with --artifact-dir RUN/artifacts to see the pictures


@dataclass(frozen=True)
class Record:
    """One molecule scored.

    Attributes:
        call: 1 for the first oracle call, 2 for the second, ...
        smiles: canonical.
        value: score; NaN where the oracle could not score it.
        proposer: what proposed it.
        batch, asked, size: number of its batch, how many molecules were asked for, how many were proposed. With several
            workers each record is a batch of size 1; `asked` is 0 where nothing was asked since the one before.
        seconds: share of the oracle's wall time.
        constraints: amount by which each constraint is broken; 0 or less is fine.
        note: what the search noted when it proposed the batch, with the batch's first record.
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

    @property
    def feasible(self) -> bool:
        """Whether no constraint is broken."""
        return all(amount <= 0 for amount in self.constraints.values())


class Ledger:
    """All records of a search, in memory and, where a path is given, in a journal file.

    Args:
        path: journal file to continue or to begin; None keeps the records in memory only.
        about: what the study is, shown by the dashboard.
        pictures: how many of the best have a picture, in the folder `artifacts` beside the journal.
    """

    def __init__(self, path: str | Path | None = None, about: dict[str, Any] | None = None, pictures: int = 10) -> None:
        self.records: list[Record] = []
        self.pictures = pictures
        self._best: list[float] = []  # a heap of the `pictures` best scores
        self._study: optuna.Study | None = None
        if path is None:
            return
        self.path = Path(
            path
        ).resolve()  # optuna takes a relative path against whatever folder is current at each write
        self.path.parent.mkdir(parents=True, exist_ok=True)
        repair(self.path)
        self._study = _open_study(self.path)
        for key, value in (about or {}).items():
            if self._study.user_attrs.get(key) != value:
                self._study.set_user_attr(key, value)
        self.records = [_record(trial.user_attrs) for trial in self._study.get_trials(deepcopy=False)]
        scores = [r.value for r in self.records if r.feasible and math.isfinite(r.value)]
        self._best = sorted(heapq.nlargest(pictures, scores))

    def __len__(self) -> int:
        return len(self.records)

    def add(self, record: Record) -> None:
        """Record a molecule; on return it is on the disk. Those among the best so far get a picture."""
        self.records.append(record)
        if self._study is not None:
            self._study.add_trial(_trial(record, self._picture(record)))

    def _picture(self, record: Record) -> dict[str, str]:
        """Write the picture of a molecule that is among the `pictures` best so far; returns what tells Optuna of it.

        Optuna attaches artifacts to running trials only, and ours are finished when they are made; so the attribute
        that `optuna.artifacts.upload_artifact` would set is set here.
        """
        if not record.feasible or math.isnan(record.value) or self.pictures == 0:
            return {}
        if len(self._best) == self.pictures and record.value <= self._best[0]:
            return {}
        (heapq.heappush if len(self._best) < self.pictures else heapq.heappushpop)(self._best, record.value)
        name = f"molecule-{record.call}.svg"
        write_text(self.path.parent / ARTIFACTS / name, picture(record.smiles))
        about = {"artifact_id": name, "filename": name, "mimetype": "image/svg+xml", "encoding": None}
        return {f"artifacts:{name}": json.dumps(about)}

    def batches(self) -> list[list[Record]]:
        """The records by batch, in order."""
        found: dict[int, list[Record]] = {}
        for record in self.records:
            found.setdefault(record.batch, []).append(record)
        return [found[b] for b in sorted(found)]


def repair(path: Path) -> None:
    """Make a journal writable again after a kill: cut a torn last line off, remove the locks of the dead process."""
    for lock in path.parent.glob(f"{path.name}.lock*"):
        lock.unlink(missing_ok=True)
    if not path.exists():
        return
    data = path.read_bytes()
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


def _open_study(path: Path) -> optuna.Study:
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend = JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
    return optuna.create_study(
        study_name=STUDY,
        storage=optuna.storages.JournalStorage(backend),
        sampler=optuna.samplers.RandomSampler(seed=0),
        direction="maximize",
        load_if_exists=True,
    )


def picture(smiles: str) -> str:
    """A molecule as SVG."""
    from rdkit import Chem
    from rdkit.Chem.Draw import rdMolDraw2D

    drawing = rdMolDraw2D.MolDraw2DSVG(300, 240)
    rdMolDraw2D.PrepareAndDrawMolecule(drawing, Chem.MolFromSmiles(smiles))
    drawing.FinishDrawing()
    return str(drawing.GetDrawingText())


def _trial(record: Record, artifacts: dict[str, str]) -> optuna.trial.FrozenTrial:
    """A finished trial; failed where there is no score, since NaN and infinities must never become the best value."""
    from optuna.trial import TrialState, create_trial

    attributes = asdict(record)
    attributes["value"] = None if math.isnan(record.value) else record.value
    attributes["feasible"] = record.feasible
    # optuna-dashboard 0.21 reads only the old list of constraints, and would call infeasible molecules the best
    old_list: dict[str, Any] = {"constraints": list(record.constraints.values())} if record.constraints else {}
    scored = math.isfinite(record.value)
    return create_trial(
        state=TrialState.COMPLETE if scored else TrialState.FAIL,
        value=record.value if scored else None,
        user_attrs=attributes,
        system_attrs={**old_list, **artifacts},
        constraints=record.constraints or None,
    )


def _record(attributes: dict[str, Any]) -> Record:
    value = attributes["value"]
    kept = {name: attributes[name] for name in Record.__dataclass_fields__ if name != "value"}
    return Record(value=math.nan if value is None else float(value), **kept)
