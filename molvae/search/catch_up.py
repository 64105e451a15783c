"""Tables of a search that is at work, or was killed before it wrote them."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from molvae.core.config import load_config
from molvae.core.errors import MolvaeError
from molvae.core.files import CONFIG, JOURNAL, METRICS, exclusive, in_use, read_json
from molvae.oracles.oracle import Oracle
from molvae.search.build import load_model
from molvae.search.config import OptimiseConfig
from molvae.search.latent import LatentModel
from molvae.search.ledger import read_records
from molvae.search.outputs import write_outputs
from molvae.search.plan import needs_model
from molvae.search.result import Reason, SearchResult
from molvae.search.run import seconds_before

log = logging.getLogger(__name__)


def catch_up(run_dir: Path) -> None:
    """Write the tables that a search would leave if it were stopped now; none where they are there, or it is no search.

    The record itself is not touched, since a search may be writing to it. Without the oracle the parts of the scores
    are left out, without the model the map is.

    Raises:
        MolvaeError: the config or the record cannot be read.
    """
    if not ((run_dir / JOURNAL).exists() and (run_dir / CONFIG).exists()):
        return
    working = in_use(run_dir)
    with ExitStack() as stack:
        stack.enter_context(nullcontext() if working else exclusive(run_dir))
        records, objectives = read_records(run_dir / JOURNAL)
        if not working and _is_written(run_dir, len(records)):
            return
        config = load_config(run_dir / CONFIG, OptimiseConfig)
        ended = Reason.BUDGET if len(records) >= config.search.budget else Reason.STOPPED
        result = SearchResult(records, Reason.AT_WORK if working else ended, objectives)
        made = Path(stack.enter_context(TemporaryDirectory(dir=run_dir, prefix=".tables-")))
        write_outputs(config, made, result, _oracle(config, stack), _model(config), seconds_before(run_dir))
        if not working or in_use(run_dir):
            for file in made.iterdir():
                os.replace(file, run_dir / file.name)
            return
    catch_up(run_dir)  # the search has ended meanwhile: these tables would take the place of its own


def _oracle(config: OptimiseConfig, stack: ExitStack) -> Oracle | None:
    try:
        return stack.enter_context(config.oracle.build())
    except MolvaeError as error:
        log.warning("the table has no parts of scores: %s", error)
        return None


def _model(config: OptimiseConfig) -> LatentModel | None:
    if not needs_model(config.method, config.search, config.search.data is not None):
        return None
    try:
        return load_model(config.weights, "cpu")  # a GPU may be the search's, or that of another machine
    except MolvaeError as error:
        log.warning("there is no map of the latent space: %s", error)
        return None


def _is_written(run_dir: Path, n_records: int) -> bool:
    """Whether the outputs are those of so many records, from a search that ended."""
    if not (run_dir / METRICS).exists():
        return False
    metrics = read_json(run_dir / METRICS)
    return bool(metrics["calls"] == n_records and metrics["ended"] != Reason.AT_WORK)
