"""Which papers a run rests on.

A run that writes "citations" (a list of strings) into its manifest is believed; what every run uses is added here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from molvae.oracles.guacamol import CITATION as BENCHMARKS
from molvae.oracles.guacamol import TASKS

EVERY_RUN = (
    "RDKit: Open-source cheminformatics. https://www.rdkit.org",
    "M. Krenn, F. Haese, A. Nigam, P. Friederich, A. Aspuru-Guzik. Self-referencing embedded strings (SELFIES): a 100% "
    "robust molecular string representation. Machine Learning: Science and Technology 1 (2020) 045024. "
    "doi:10.1088/2632-2153/aba947",
    "R. Gomez-Bombarelli et al. Automatic chemical design using a data-driven continuous representation of molecules. "
    "ACS Central Science 4 (2018) 268-276. doi:10.1021/acscentsci.7b00572",
)


def citations(manifest: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """The citations of a run: those that it recorded itself, that of its benchmark task, and those of every run."""
    recorded = [str(text) for text in manifest.get("citations", [])]
    task = [BENCHMARKS] if _names(config.get("oracle")) & TASKS.keys() else []
    return list(dict.fromkeys([*recorded, *task, *EVERY_RUN]))


def _names(oracle: Any) -> set[str]:
    """The named oracles that an oracle's config speaks of, those within others too."""
    if isinstance(oracle, list | tuple):
        return set[str]().union(*map(_names, oracle))
    if not isinstance(oracle, Mapping):
        return set()
    own = {str(oracle["name"])} if oracle.get("kind", "named") == "named" and "name" in oracle else set()
    return own | _names(oracle.get("oracle")) | _names(oracle.get("oracles"))
