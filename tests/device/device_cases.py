"""What a model does, for each kind of model, on the CPU or on a device that pretends not to be one.

python device_cases.py PREPARED FOLDER    # the latter, after the CPU, in a process of its own
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from small_model import SMALL_BOTTLENECKS, SMALL_SPEC, small_molecules

from molvae.core.files import read_json, write_json
from molvae.generation import MoleculeVAE, load
from molvae.training.config import OptimiserSpec, TrainConfig, ValidationSpec
from molvae.training.trainer import train

CASES: dict[str, dict[str, Any]] = {
    "gaussian": {},
    "gaussian, told a property": {"condition_dim": 1},
    **{name: {"bottleneck": bottleneck} for name, bottleneck in SMALL_BOTTLENECKS.items()},
}  # what differs from `SMALL_SPEC`


def config(case: str, prepared: Path, device: str) -> TrainConfig:
    """A few steps of training, the same on any device but for rounding."""
    return TrainConfig(
        data=str(prepared),
        device=device,
        precision="float32",
        threads=1,
        model=SMALL_SPEC.model_copy(update=CASES[case]),
        optimiser=OptimiserSpec(epochs=2, batch_size=16, warmup_steps=2),
        validation=ValidationSpec(every_steps=5, n_molecules=16),
    )


def everything(vae: MoleculeVAE) -> dict[str, Any]:
    """What a model gives for some molecules, by each way that it has; plain values."""
    smiles = small_molecules()[:6]
    z, towards = vae.embed(smiles), vae.given(heavy_atoms=9) if vae.properties else vae
    found = {
        "embed": z,
        "decode": towards.decode(z),
        "beam": towards.decode(z, beam_width=3),
        "sample": towards.sample(5, top_p=0.9),
        "prior": vae.prior(3),
        "rate": vae.rate(smiles),
        "log_prob": vae.log_prob(smiles, k=2),
        "invert": towards.invert(smiles, steps=2),
        "reconstruct": vae.reconstruct(smiles),
        "redraw": towards.redraw(smiles, z, copies=2),
    }
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in found.items()}


def results(case: str, prepared: Path, folder: Path, device: str) -> dict[str, Any]:
    """What training ends with on a device, and what the model gives there that training on the CPU has ended with."""
    run_dir = folder / case / device
    train(config(case, prepared, device), run_dir)
    vae = load(folder / case / "cpu" / "model", device=device)
    return {"metrics": read_json(run_dir / "metrics.json"), **everything(vae)}


def main(prepared: Path, folder: Path) -> None:
    """The results of each case on the device."""
    from pretend_device import pretend

    pretend()
    write_json(folder / "found.json", {case: results(case, prepared, folder, "cuda") for case in CASES})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
