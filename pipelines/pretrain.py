"""From a molecule file to weights that can be shipped: prepare, train, evaluate, package with a model card.

    python -m pipelines.pretrain configs/zinc250k.toml --data zinc250k.csv.gz --name mine

The file has the columns `smiles` and `split` (train, valid, test). The model learns from train, is watched on valid,
and the numbers of the card come from test, once, at the end. Stop it at any moment; the same command goes on. A second
round that begins with the weights of a first one is another config. The weights go to molvae/weights/NAME; those of
another run are not replaced.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from molvae.cli.faults import run_script
from molvae.core.config import load_config, parse_config
from molvae.core.errors import ConfigError, DataError
from molvae.core.files import CONFIG, MANIFEST, VOCABULARY, read_json, sha256_file, write_json, write_text
from molvae.core.tables import read_split
from molvae.data.prepare import PrepareConfig, prepare
from molvae.evaluation.likelihood import evaluate
from molvae.generation import load
from molvae.model.checkpoint import DESCRIPTION, load_checkpoint, model_directory, save_checkpoint
from molvae.training.config import TrainConfig
from molvae.training.trainer import train

CARD = """# {name}

A SELFIES sequence VAE (GRU encoder and decoder), written by `{command}`.

| | |
|---|---|
| Data | `{data}` (sha256 {data_sha256}) |
| Split | train {n_train:,} molecules; valid {n_valid:,}; test {n_test:,}. Only train was learnt from. |
| Config | `{config}`, with all overrides (`{resolved}` of the run): sha256 {config_sha256}; seed {seed} |
| Size | {n_parameters:,} parameters, {n_tokens} tokens, {latent_dim} latent dimensions |
| Began with | {initial} |
| Training | {epochs:.2f} epochs, {steps:,} steps, {hours:.2f} h on {device} ({threads} thread(s)) |
| Versions | {versions} |
| Notes | {note} |

## Measured on the {n_molecules:,} test molecules

| | |
|---|---|
| Exact reconstruction (canonical isomeric SMILES, posterior mean, greedy) | {reconstruction:.2%} |
| Molecules the vocabulary and length allow | {n_encoded:,} |
| ELBO, IWAE({k}) on the first {n_likelihood:,} | {elbo_nats:.2f}, {iwae_nats:.2f} nats per molecule |
| Rate, all dimensions together | {rate_nats:.1f} nats per molecule |
| Active dimensions | {active_units} of {latent_dim} |
| Rate of one dimension, least / median / most | {rate_min:.2f} / {rate_median:.2f} / {rate_max:.2f} nats |

The rate of every dimension stands in `model.json` under `metrics.rate_by_group_nats`.

## Use and limits

Made for embedding and for searching drug-like molecules of ZINC's kind: up to {max_length} SELFIES tokens, elements
C, N, O, S, F, Cl, Br, I, P. Other elements, longer molecules and mixtures are refused with a reason. The prior fits the
encoded molecules only loosely (beta is small, for the sake of reconstruction): draws from it are valid and diverse, but
less drug-like than molecules decoded near encoded ones. Licence: MIT.
"""


def package(run: Path, target: Path, metrics: dict[str, Any]) -> None:
    """Copy a trained model with its test metrics to a weights directory."""
    model, info = load_checkpoint(run / "model")
    save_checkpoint(target, model, run / "model" / VOCABULARY, {**_kept(info), "metrics": metrics})


def _kept(info: dict[str, Any]) -> dict[str, Any]:
    return {key: info[key] for key in ("initial", "step", "epochs", "conditions") if key in info}


def card(
    args: argparse.Namespace, command: str, name: str, spec: TrainConfig, run: Path, metrics: dict[str, Any]
) -> str:
    """The model card of a run, which `command` has made."""
    description = read_json(run / "model" / DESCRIPTION)
    manifest = read_json(run / MANIFEST)
    splits = read_json(Path(spec.data) / MANIFEST)["splits"]
    rates = sorted(metrics["rate_by_group_nats"])
    model, _ = load_checkpoint(run / "model")
    return CARD.format(
        name=name,
        command=command,
        note=args.note,
        data=args.data.name,
        data_sha256=sha256_file(args.data),
        config=args.config,
        resolved=CONFIG,
        config_sha256=sha256_file(run / CONFIG),
        seed=spec.seed,
        n_train=splits["train"],
        n_valid=splits["valid"],
        n_test=splits["test"],
        n_parameters=sum(p.numel() for p in model.parameters()),
        n_tokens=model.n_tokens,
        latent_dim=model.latent_dim,
        initial=f"the weights in `{spec.initial}`" if spec.initial else "random weights",
        epochs=description["epochs"],
        steps=description["step"],
        hours=manifest["seconds"] / 3600,
        device=manifest["device"],
        threads=spec.threads or "all",
        versions=", ".join(f"{p} {metadata.version(p)}" for p in ("torch", "rdkit", "selfies")),
        max_length=load(run / "model", "cpu").tokenizer.max_length - 1,
        rate_min=rates[0],
        rate_median=rates[len(rates) // 2],
        rate_max=rates[-1],
        **metrics,
    )


def _made_by(run: Path, target: Path) -> bool:
    """Whether weights are those of a run, going by their card."""
    config, written = run / CONFIG, target / "MODEL_CARD.md"
    return config.exists() and written.exists() and sha256_file(config) in written.read_text(encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """All stages; those that are done are not done again.

    Raises:
        ConfigError: the model wants another number of properties than are to be computed; or the weights of another
            run have the name.
        DataError: there are no test molecules to fill in the card.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="file with the columns smiles and split")
    parser.add_argument("--name", default=None, help="of the weights  [default: that of the config]")
    parser.add_argument("--note", default="none", help="for the model card: what a reader of the run should know")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting; repeat")
    parser.add_argument("--descriptors", nargs="+", default=[], metavar="NAME", help="to condition the model on")
    args = parser.parse_args(arguments)
    spec = load_config(args.config, TrainConfig, args.set)
    if len(args.descriptors) != spec.model.condition_dim:
        raise ConfigError(
            f"model.condition_dim is {spec.model.condition_dim}, but --descriptors names {len(args.descriptors)} "
            "properties; name as many as the model is to be conditioned on"
        )
    name = args.name or args.config.stem
    run, target = Path("runs") / args.config.stem, Path("molvae/weights") / name
    if target.exists() and not _made_by(run, target):
        raise ConfigError(f"{target} is there, and is not of {run}; choose another --name, or move it away")
    test = list(read_split(args.data, "smiles", "test"))
    if not test:
        raise DataError(f"{args.data}: no row has 'test' in the column 'split'; the card needs some")

    vocabulary = None if spec.initial is None else model_directory(spec.initial)  # of the weights to begin with
    wanted = {"inputs": [args.data], "output": spec.data, "split": {"kind": "column", "column": "split"}}
    wanted |= {"descriptors": args.descriptors, "vocabulary": vocabulary}
    prepare(parse_config(wanted, PrepareConfig))
    train(spec, run)
    metrics = evaluate(load(run / "model"), test).as_dict()
    write_json(run / "test_metrics.json", metrics)
    command = shlex.join(["python", "-m", "pipelines.pretrain", *arguments])
    write_text(
        target / "MODEL_CARD.md", card(args, command, name, spec, run, metrics)
    )  # first: it tells whose they are
    package(run, target, metrics)
    print(
        f"{target}: exact reconstruction {metrics['reconstruction']:.2%} of {metrics['n_molecules']:,} test molecules"
    )


if __name__ == "__main__":
    sys.exit(run_script(main))
