"""Tables of a search that is at work, or was killed before it wrote them."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from molvae.core.config import load_config
from molvae.core.files import CONFIG, METRICS, in_use, read_json
from molvae.search.build import load_model
from molvae.search.config import OptimiseConfig
from molvae.search.ledger import Ledger
from molvae.search.outputs import write_outputs
from molvae.search.plan import needs_model
from molvae.search.result import Reason, SearchResult
from molvae.search.run import JOURNAL, seconds_before


def catch_up(run_dir: Path) -> None:
    """Write what a search would leave if it were stopped now; nothing where that is there already, or is no search.

    The record itself is not touched, since a search may be writing to it.

    Raises:
        MolvaeError: the config or the record cannot be read, or the oracle or the model is not there.
    """
    if not ((run_dir / JOURNAL).exists() and (run_dir / CONFIG).exists()):
        return
    config, working = load_config(run_dir / CONFIG, OptimiseConfig), in_use(run_dir)
    with config.oracle.build() as oracle:
        with TemporaryDirectory() as elsewhere:
            copy = shutil.copy(run_dir / JOURNAL, elsewhere)
            result = SearchResult.of(
                Ledger(copy, objectives=oracle.objectives), Reason.AT_WORK if working else Reason.STOPPED
            )
        if not working and _is_written(run_dir, len(result.records)):
            return
        wanted = needs_model(config.method, config.search, config.search.data is not None)
        model = load_model(config.weights, config.device) if wanted else None
        write_outputs(config, run_dir, result, oracle, model, seconds_before(run_dir))


def _is_written(run_dir: Path, n_records: int) -> bool:
    """Whether the outputs are those of so many records, from a search that ended."""
    if not (run_dir / METRICS).exists():
        return False
    metrics = read_json(run_dir / METRICS)
    return bool(metrics["calls"] == n_records and metrics["ended"] != Reason.AT_WORK)
