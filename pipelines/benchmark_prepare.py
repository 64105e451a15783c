"""Memory and speed of `molvae prepare` as its input grows: molecules repeated, each time in another atom order.

    python -m pipelines.benchmark_prepare prepared/zinc250k.csv.gz --rows 100000 1000000 --workers 2

Needs a file of molecules with a column `smiles` (see `molvae data fetch zinc250k`) and Linux, where /proc tells the
peak resident memory of every process. The inputs and results lie in a temporary folder and are removed. Prints one line
for each size: wall time, rows a second, peak memory of the parent, of its largest child, and of all together.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from rdkit import Chem

from molvae.cli.faults import run_script
from molvae.core.config import dump_config
from molvae.core.files import MANIFEST, read_json, write_json
from molvae.core.tables import in_chunks, read_rows
from molvae.data.prepare import PrepareConfig

SCRIPT = """
import sys
from molvae.core.config import load_config
from molvae.data.prepare import PrepareConfig, prepare
if __name__ == "__main__":
    print(prepare(load_config(sys.argv[1], PrepareConfig)))
"""
MIB = 1024**2
SAMPLE_SECONDS = 0.2


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each size, print a line for it; with --out, write them, too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path, help="molecules to repeat (column smiles)")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="sizes to try")
    parser.add_argument("--workers", type=int, default=2, help="worker processes")
    parser.add_argument("--out", type=Path, help="a JSON file to write")
    args = parser.parse_args(arguments)
    results = []
    with tempfile.TemporaryDirectory(prefix="benchmark-prepare-") as folder:
        for n_rows in args.rows:
            made = make_input(args.input, Path(folder) / f"{n_rows}.smi", n_rows, args.workers)
            results.append(measure(made, Path(folder) / str(n_rows), n_rows, args.workers))
            print(json.dumps(results[-1]), flush=True)
            if args.out is not None:
                write_json(args.out, results)


def make_input(source: Path, path: Path, n_rows: int, workers: int) -> Path:
    """Write `n_rows` lines: the molecules of `source` in turn, again and again, with random atom orders."""
    n_molecules = sum(1 for _ in read_rows(source, ["smiles"]))
    repeats = -(-n_rows // n_molecules)
    smiles = islice((row.cells[0] for row in read_rows(source, ["smiles"])), -(-n_rows // repeats))
    with multiprocessing.get_context("spawn").Pool(workers) as pool, open(path, "w", encoding="utf-8") as handle:
        blocks = pool.imap(partial(_orders, repeats=repeats), in_chunks(smiles, 2000))
        lines = (line for block in blocks for line in block)
        handle.writelines(f"{line}\n" for line in islice(lines, n_rows))
    return path


def _orders(block: list[str], repeats: int) -> list[str]:
    mols = [Chem.MolFromSmiles(smiles) for smiles in block]
    return [Chem.MolToRandomSmilesVect(mol, 1, seed)[0] for seed in range(1, repeats + 1) for mol in mols]


def measure(source: Path, output: Path, n_rows: int, workers: int) -> dict[str, float]:
    """Prepare in a process of its own and watch it and its children."""
    config, script = output.with_suffix(".toml"), output.with_suffix(".py")
    dump_config(PrepareConfig(inputs=(source,), output=output, workers=workers), config)
    script.write_text(SCRIPT)
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, str(script), str(config)], cwd=Path(__file__).parents[1])
    peaks: dict[int, int] = {}
    together = 0
    while process.poll() is None:
        pids = [process.pid, *_descendants(process.pid)]
        memory = {pid: _memory(pid) for pid in pids}
        together = max(together, sum(now for now, _ in memory.values()))
        peaks |= {pid: max(peak, peaks.get(pid, 0)) for pid, (_, peak) in memory.items()}
        time.sleep(SAMPLE_SECONDS)
    seconds = time.monotonic() - started
    if process.returncode != 0:
        raise SystemExit(f"prepare ended with {process.returncode}")
    kept = sum(read_json(output / MANIFEST)["splits"].values())
    children = [peak for pid, peak in peaks.items() if pid != process.pid]
    return {
        "rows": n_rows,
        "kept": kept,
        "seconds": round(seconds, 1),
        "rows_per_second": round(n_rows / seconds, 1),
        "parent_peak_mib": round(peaks[process.pid] / MIB, 1),
        "largest_child_peak_mib": round(max(children, default=0) / MIB, 1),
        "together_peak_mib": round(together / MIB, 1),
    }


def _descendants(pid: int) -> list[int]:
    try:
        lists = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    children = [int(child) for text in lists for child in text.split()]
    return [found for child in children for found in (child, *_descendants(child))]


def _memory(pid: int) -> tuple[int, int]:
    """Resident bytes now and at most, of one process."""
    try:
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        now, peak = (int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    except (OSError, KeyError, ValueError):
        return 0, 0
    return now, peak


if __name__ == "__main__":
    sys.exit(run_script(main))
