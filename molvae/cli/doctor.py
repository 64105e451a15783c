"""`molvae doctor`: is this installation sound, and if not, what is wrong and what to do."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from molvae.core.devices import pick_device, usable_cpus, why_no_cuda
from molvae.core.errors import CheckpointError, debugging
from molvae.core.manifest import versions

MIN_PYTHON = (3, 11)
LOW_DISK_GB = 2.0
OVERWRITES_RDKIT = ("rdkit-pypi", "PyTDC", "guacamol", "molsets")  # they bring an RDKit of 2022 under the same name
ASPIRIN, ASPIRIN_QED = "CC(=O)Oc1ccccc1C(=O)O", 0.5501217966938848  # QED as RDKit 2026.9 gives it
DRUGS = (ASPIRIN, "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "CC(=O)Nc1ccc(O)cc1", "CC(C)Cc1ccc(C(C)C(=O)O)cc1", "CN1CCCC1c1cccnc1")


@dataclass(frozen=True)
class Finding:
    """One thing looked at: how it is, in words, and what to do if it is not well."""

    state: Literal["ok", "warning", "broken"]
    text: str
    remedy: str = ""


Check = Callable[[], Iterator[Finding]]


def examine(model: str) -> int:
    """Run all checks, print what they find, and return 0 if nothing is broken, else 1."""
    n_broken = 0
    for title, check in checks(model).items():
        print(title)
        for finding in _guarded(check):
            n_broken += finding.state == "broken"
            mark = {"ok": "  ", "warning": "! ", "broken": "X "}[finding.state]
            print(f"  {mark}{finding.text}")
            if finding.remedy:
                print(f"      -> {finding.remedy}")
            sys.stdout.flush()
    print("\neverything works" if n_broken == 0 else f"\n{n_broken} broken, marked X")
    return int(n_broken > 0)


def checks(model: str) -> dict[str, Check]:
    """What is looked at, by title, in order."""
    return {
        "versions": check_versions,
        "device": check_device,
        "disk": check_disk,
        f"weights {model!r}": lambda: check_weights(model),
        "self-test": lambda: check_by_using(model),
    }


def _guarded(check: Check) -> Iterator[Finding]:
    """The findings of a check; an exception is one, too."""
    try:
        yield from check()
    except CheckpointError as error:
        remedy = "get the weights again (git restore molvae/weights), or train: molvae train configs/zinc250k.toml"
        yield Finding("broken", str(error), remedy)
    except Exception as error:
        remedy = "pip install -c constraints.txt -e .; if that does not help: MOLVAE_DEBUG=1 molvae doctor"
        if debugging():
            raise
        yield Finding("broken", f"{type(error).__name__}: {error}", remedy)


def check_versions() -> Iterator[Finding]:
    """Python and packages."""
    found = versions()
    yield Finding("ok", ", ".join(f"{name} {version}" for name, version in found.items()))
    if sys.version_info < MIN_PYTHON:
        yield Finding("broken", f"Python {found['python']} is too old", "install Python 3.11 or newer")
    for name, version in found.items():
        if version == "not installed":
            yield Finding("broken", f"{name} is not installed", "pip install -c constraints.txt -e .")
    for name in OVERWRITES_RDKIT:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        remedy = f"pip uninstall {name}; pip install --force-reinstall --no-deps rdkit=={found['rdkit']}"
        yield Finding("warning", f"{name} {version} is installed; it overwrites RDKit with an old one", remedy)


def check_device() -> Iterator[Finding]:
    """Torch build, GPU, threads."""
    import torch

    device = pick_device("auto")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    yield Finding("ok", f"torch {torch.__version__}, CUDA {torch.version.cuda or 'not built in'}; computing on {name}")
    if device.type == "cpu" and shutil.which("nvidia-smi"):
        remedy = (
            "install the torch build for your driver: https://pytorch.org/get-started (molvae works on the CPU, too)"
        )
        yield Finding("warning", f"there is an NVIDIA driver, but {why_no_cuda()}", remedy)
    set_threads = os.environ.get("OMP_NUM_THREADS")
    origin = f"OMP_NUM_THREADS={set_threads}" if set_threads else "OMP_NUM_THREADS is not set"
    yield Finding("ok", f"{usable_cpus()} CPUs may be used, {origin}")
    if torch.get_num_threads() > usable_cpus():
        remedy = f"export OMP_NUM_THREADS={usable_cpus()}"
        yield Finding("warning", f"torch would use {torch.get_num_threads()} threads on {usable_cpus()} CPUs", remedy)


def check_disk() -> Iterator[Finding]:
    """Free space here and for temporary files, and whether this folder can be written to."""
    for what, folder in (("this folder", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        free_gb = shutil.disk_usage(folder).free / 1e9
        text = f"{what} ({folder}): {free_gb:.1f} GB free"
        if free_gb < LOW_DISK_GB:
            yield Finding("warning", text, "a training run needs about 0.1 GB, preparing 1 M molecules about 1 GB")
        else:
            yield Finding("ok", text)
    try:
        with tempfile.TemporaryFile(dir="."):
            pass
    except OSError as error:
        yield Finding("warning", f"this folder cannot be written to ({error.strerror})", "use --run-dir and --out")


def check_weights(model: str) -> Iterator[Finding]:
    """Where the model lies, and whether every file has the SHA-256 that its description records."""
    from molvae.model.checkpoint import load_checkpoint, model_directory

    directory = model_directory(model)
    network, info = load_checkpoint(directory)
    n_weights = sum(p.numel() for p in network.parameters())
    yield Finding("ok", f"{directory}: {n_weights / 1e6:.1f} M weights, sha256 of every file as recorded")
    metrics = {name: value for name, value in info.get("metrics", {}).items() if isinstance(value, float)}
    if metrics:
        yield Finding("ok", ", ".join(f"{name} {value:.4g}" for name, value in metrics.items()))


def check_by_using(model: str) -> Iterator[Finding]:
    """Score, encode and decode, search: small, but through all parts."""
    yield _timed(_try_oracle)
    yield _timed(lambda: _try_model(model))
    yield _timed(lambda: _try_search(model))


def _timed(trial: Callable[[], Finding]) -> Finding:
    start = time.monotonic()
    finding = trial()
    return Finding(finding.state, f"{finding.text} ({time.monotonic() - start:.1f} s)", finding.remedy)


def _try_oracle() -> Finding:
    from molvae.oracles import oracle

    (value,) = oracle("qed")([ASPIRIN])
    if abs(value - ASPIRIN_QED) > 1e-6:
        text = f"QED of aspirin is {value:.6f}, expected {ASPIRIN_QED:.6f}"
        return Finding("broken", text, "another RDKit than the one tested? pip install -c constraints.txt -e .")
    return Finding("ok", f"oracle: QED of aspirin is {value:.4f}")


def _try_model(model: str) -> Finding:
    import numpy as np

    from molvae.chem.molecules import canonical
    from molvae.generation import load

    vae = load(model, device="cpu")
    if unknown := vae.told.only_measured:
        return Finding("ok", f"model: decodes towards what only measuring tells ({', '.join(unknown)}); not tried")
    z = vae.embed(DRUGS, on_invalid="nan")
    known = np.flatnonzero(np.isfinite(z).all(axis=1))
    wanted = [canonical(DRUGS[row]) for row in known]
    told = vae.describe([DRUGS[row] for row in known]) if vae.properties else None
    back = sum(a == b for a, b in zip(vae.decode(z[known], properties=told), wanted, strict=True))
    text = (
        f"model: of {len(DRUGS)} drugs {len(wanted)} are known to it and {back} come back from {z.shape[1]} dimensions"
    )
    remedy = "" if back else "this model reconstructs badly; train it longer, or take the shipped weights"
    return Finding("ok" if back else "warning", text, remedy)


def _try_search(model: str) -> Finding:
    from molvae.generation import load
    from molvae.search import optimise

    if (vae := load(model, device="cpu", fast=True)).properties:  # what it is to decode towards is the user's choice
        told = ", ".join(f"{name}=..." for name in vae.properties)
        text = f"search: not tried; from Python: molvae.optimise(..., weights=molvae.load({model!r}).given({told}))"
        return Finding("ok", text)
    result = optimise("qed", budget=20, weights=vae, seed=0)
    best = max(value for value in result.values if value == value)
    return Finding("ok", f"search: {len(result.values)} molecules scored, best QED {best:.3f}")
