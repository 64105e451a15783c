"""What the tests of a shared study begin with."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from molvae.core.config import parse_config
from molvae.search.config import OptimiseConfig
from molvae.workers.database import connect
from molvae.workers.spec import DistributedSpec
from molvae.workers.study import SharedStudy, Terms, open_as_worker

# heartbeats may be ten minutes old in the database, so that `grow_silent` alone makes a worker silent
TERMS = Terms({"kind": "named", "name": "qed"}, 60.0, "any", heartbeat_seconds=1, grace_seconds=600)


def small_search(budget: int = 3, **search: Any) -> OptimiseConfig:
    """A search from three molecules that needs no model."""
    start = {"smiles": ["CCO", "CCN", "CCC"]}
    config = {"oracle": {"kind": "named", "name": "qed"}, "search": {"budget": budget, "start": start, **search}}
    config["method"] = {"kind": "bayesian", "proposers": [{"kind": "graph_mutation"}]}
    return parse_config(config, OptimiseConfig)


def joined(spec: DistributedSpec) -> SharedStudy:
    """The study as a worker sees it."""
    engine = connect(spec.storage or "")
    study = open_as_worker(engine, spec.storage or "", spec.study)
    engine.dispose()
    assert study is not None
    return study


def grow_silent(study: SharedStudy) -> None:
    """Let the last heartbeats be an hour ago."""
    with study.storage.engine.begin() as connection:
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 hour'"))
