"""Oracles by name: the closed list of what `oracle("...")` knows.

oracle("osimertinib_mpo")(["CCO"])                         # a benchmark task
oracle("sa", direction="minimise")(["CCO"])                # a property, sign turned
oracle("similarity", target="c1ccccc1O", fingerprint="AP")(["CCO"])
oracle(lambda smiles: -abs(len(smiles) - 30))(["CCO"])     # any function of a SMILES
oracle(["qed", "logp"])(["CCO"])                           # several objectives: (1, 2)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from molvae.chem.descriptors import PenalisedLogP
from molvae.chem.molecules import parse
from molvae.core.config import Spec, did_you_mean, in_any_case, parse_config
from molvae.core.errors import ConfigError
from molvae.oracles.command import CommandOracle, CommandSettings, Seconds
from molvae.oracles.components import (
    Catalogue,
    ElementCount,
    Isomer,
    Property,
    Similarity,
    Substructure,
    Substructures,
    Window,
)
from molvae.oracles.functions import FunctionOracle
from molvae.oracles.guacamol import PMO_TASKS, TASKS, task
from molvae.oracles.isolation import ParallelOracle
from molvae.oracles.objective import MoleculeOracle, Objective
from molvae.oracles.oracle import Minimised, Oracle, Stacked
from molvae.oracles.parsed import ParsedMolecule
from molvae.oracles.properties import ALIASES, PROPERTIES


@dataclass(frozen=True)
class OracleInfo:
    """What there is to know about a named oracle; None is an open end of its range."""

    name: str
    group: str
    low: float | None
    high: float | None
    unit: str
    parameters: str
    source: str

    @property
    def range(self) -> str:
        """The range for people, such as "0..1"."""
        if self.low is None and self.high is None:
            return "any"
        return f"{'' if self.low is None else f'{self.low:g}'}..{'' if self.high is None else f'{self.high:g}'}"


# Families take parameters; the model of a family's component is also the check of what came.
_COMPONENTS: dict[str, tuple[type[Any], str]] = {
    "similarity": (Similarity, "Tanimoto similarity to a target on unfolded counts"),
    "smarts": (Substructure, "1 where a SMARTS matches (present = false: where it does not)"),
    "substructures": (Substructures, "1 where all required and no forbidden SMARTS match"),
    "isomers": (Isomer, "closeness to a molecular formula, as GuacaMol's isomer tasks"),
    "element": (ElementCount, "number of atoms of an element, hydrogens included"),
    "catalogue": (Catalogue, "1 where no structural alert matches: PAINS, BRENK, NIH, CHEMBL and their parts"),
    "window": (Window, "1 where a property lies in a range"),
    "desirability": (Objective, "several components, a desirability for each, one mean, constraints"),
}
Source = str | Oracle | Callable[..., Any]
_ELSEWHERE = {"molwt": "mw", "tanimoto": "similarity"}  # what others call them; for a hint only


def oracle(
    source: Source | Sequence[Source],
    *,
    direction: Literal["maximise", "minimise"] = "maximise",
    **parameters: Any,
) -> Oracle:
    """An oracle by name, or out of a function.

    Args:
        source: a name (`list_oracles()`, in any case), an oracle (given back as it is), a function of one SMILES, or a
            list of these, each of which is an objective: `oracle(["qed", oracle("sa", direction="minimise")])`.
        direction: "minimise" turns the sign: larger is better afterwards.
        parameters: of the named family; for a function `batch`, `name`, `version`, `n_objectives`, and how it is run:
            `isolate=True` (in its own process, where it can crash and hang, and cannot see later changes of variables
            here), `timeout_seconds=60` for a molecule, `workers=1`, `chunk`.

    Raises:
        ConfigError: unknown name or parameter, or a parameter with an impossible value.
    """
    if direction not in ("maximise", "minimise"):
        raise ConfigError(f"direction: expected 'maximise' or 'minimise', got {direction!r}")
    if isinstance(source, str):
        built = _named(source, parameters)
    elif isinstance(source, Oracle):
        _known_options(f"the oracle {source.name!r}", parameters, ())
        built = source
    elif isinstance(source, Sequence):
        if not source or parameters or direction != "maximise":
            raise ConfigError(
                "expected a list of one oracle or more, and no options for all of them; give each its own, as in "
                "['qed', oracle('sa', direction='minimise')]"
            )
        built = Stacked([oracle(part) for part in source])
    else:
        built = _function(source, parameters)
    return Minimised(built) if direction == "minimise" else built


def _named(name: str, parameters: dict[str, Any]) -> Oracle:
    choices = [info.name for info in list_oracles()]
    name = in_any_case(name, [*choices, *ALIASES]) or name
    plain = ALIASES.get(name, name)
    if plain in PROPERTIES or plain in TASKS:
        _known_options(f"oracle {name!r}", parameters, ())
        # "qed" is both a property and a PMO task: the same number
        return MoleculeOracle(plain, Property(name=plain) if plain in PROPERTIES else task(plain))
    if name in _COMPONENTS:
        component = parse_config(parameters, _COMPONENTS[name][0], f"oracle {name!r}")
        return MoleculeOracle(name, component, component.model_dump(mode="json", exclude={"kind"}))
    if name == "command":
        return CommandOracle(**parse_config(parameters, CommandSettings, "oracle 'command'").model_dump())
    if name == "plogp_fitted":
        _known_options("oracle 'plogp_fitted'", parameters, ("training",), required=("training",))
        return _fitted(parameters["training"])
    close = did_you_mean(_ELSEWHERE.get(name.lower(), name), [*choices, *ALIASES])
    raise ConfigError(f"unknown oracle {name!r}{close} (`molvae oracles` lists all {len(choices)})")


class _FittedLogP(Spec):
    """Penalised logP with the constants of a training set."""

    logp: tuple[float, float]
    sa: tuple[float, float]
    ring: tuple[float, float]

    @property
    def label(self) -> str:
        return "plogp_fitted"

    def value(self, molecule: ParsedMolecule) -> float:
        return PenalisedLogP(self.logp, self.sa, self.ring, penalty="nx")(molecule.mol)


def _fitted(training: Any) -> Oracle:
    if isinstance(training, str) or not isinstance(training, Iterable):  # the characters of a string are SMILES, too
        raise ConfigError(f"oracle 'plogp_fitted': training: expected a list of SMILES, got {training!r}")
    mols = [mol for mol in map(parse, training) if mol is not None]
    fitted = PenalisedLogP.fitted(mols)
    component = _FittedLogP(logp=fitted.logp, sa=fitted.sa, ring=fitted.ring)
    return MoleculeOracle("plogp_fitted", component, component.model_dump())


class _FunctionSettings(Spec):
    """What a function returns, and how it is run."""

    batch: bool = False
    name: str | None = None
    n_objectives: Annotated[int, Field(ge=1)] = 1
    version: Any = ""
    isolate: bool = True
    timeout_seconds: Seconds = 60.0
    workers: Annotated[int, Field(ge=1)] = 1
    chunk: Annotated[int, Field(ge=1)] | None = None


def _function(function: Callable[..., Any], parameters: dict[str, Any]) -> Oracle:
    given = parse_config(parameters, _FunctionSettings, "an oracle made of a function")
    inner = FunctionOracle(
        function, batch=given.batch, name=given.name, n_objectives=given.n_objectives, version=given.version
    )
    if given.isolate:
        return ParallelOracle(inner, given.workers, given.timeout_seconds, given.chunk or (64 if inner.batch else 1))
    if running := given.model_fields_set & {"timeout_seconds", "workers", "chunk"}:
        raise ConfigError(f"{', '.join(sorted(running))}: only for a function that runs isolated (isolate=True)")
    return inner


def _known_options(what: str, given: dict[str, Any], known: tuple[str, ...], required: tuple[str, ...] = ()) -> None:
    mistakes = [f"{what} takes no {key!r}{did_you_mean(key, known)}" for key in given if key not in known]
    mistakes += [f"{what} needs {key!r}" for key in required if key not in given]
    if mistakes:
        choices = f" (choices: {', '.join(known)})" if known else ""
        raise ConfigError("\n".join(mistakes) + choices)


def _options(model: type[Any]) -> str:
    """What a family takes; what may be left out ends in "="."""
    fields = {key: field for key, field in model.model_fields.items() if key != "kind"}
    return ", ".join(key if field.is_required() else f"{key}=" for key, field in fields.items())


def list_oracles() -> list[OracleInfo]:
    """Every name that `oracle` knows, with range, unit and source: properties, families, then benchmark tasks."""
    infos = [OracleInfo(name, "property", *line[:3], "", line.source) for name, line in PROPERTIES.items()]
    for name, (model, source) in _COMPONENTS.items():
        high = None if name == "element" else 1.0
        infos.append(OracleInfo(name, "family", 0.0, high, "", _options(model), source))
    training = "same terms, mean and sd over the training set given: JT-VAE, GVAE; depends on atom order"
    infos.append(OracleInfo("plogp_fitted", "family", None, None, "sd", "training", training))
    external = "an external program; JSON lines"
    infos.append(OracleInfo("command", "family", None, None, "its own", _options(CommandSettings), external))
    for name in TASKS:
        if name not in PROPERTIES:
            group = "PMO task" if name in PMO_TASKS else "GuacaMol" if name.startswith("guacamol_") else "TDC task"
            source = "Gao 2022; TDC >= 0.3.7" if group == "PMO task" else "Brown 2019" if group == "GuacaMol" else "TDC"
            infos.append(OracleInfo(name, group, 0.0, 1.0, "", "", source))
    return infos
