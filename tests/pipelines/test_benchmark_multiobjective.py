"""The comparison with several objectives: bounded problems, rows that are kept, a table that is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_model import small_molecules

from molvae.core.config import parse_config
from molvae.search.config import OptimiseConfig
from pipelines.benchmark_multiobjective import METHODS, PROBLEMS, Job, Row, config_of, run_job, summary
from pipelines.rows import finished, job_of, save


@pytest.mark.parametrize("problem", PROBLEMS)
def test_objectives_lie_in_the_unit_cube_and_every_method_takes_them(problem: str) -> None:
    specs = [parse_config(config_of(Job(problem, method, 0, 9, "", 5)), OptimiseConfig) for method in METHODS]
    with specs[0].oracle.build() as oracle:
        values = oracle(small_molecules()[:50])
    assert values.shape == (50, len(PROBLEMS[problem]))
    assert values.min() >= 0.0
    assert values.max() <= 1.0
    assert (values.std(axis=0) > 0).all()


def test_a_row_is_measured_kept_and_summed_up(tmp_path: Path) -> None:
    start = tmp_path / "start.smi"
    start.write_text("\n".join(small_molecules()[:40]))
    rows = [run_job(Job("logp_tpsa_qed", "nsga2_graph", seed, 30, str(start), 10), tmp_path) for seed in (0, 1)]
    assert 0 < rows[0].hypervolume_quarter <= rows[0].hypervolume_half <= rows[0].hypervolume < 1
    assert run_job(job_of(rows[0], Job), tmp_path).hypervolume == rows[0].hypervolume  # replayed from the run directory
    save(rows, tmp_path / "results.csv", Job)
    again = finished(tmp_path / "results.csv", Job, Row)
    assert again.keys() == {job_of(row, Job) for row in rows}
    mean = np.mean([row.hypervolume for row in rows])
    text = summary(list(again.values()))
    assert "logp_tpsa_qed, 30 calls, seeds [0, 1]" in text
    assert f"{mean:.4f}" in text
