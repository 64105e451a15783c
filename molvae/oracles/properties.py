"""Plain properties as oracles: one line of the table a property.

An oracle gives the property as it is. Of some of them less is better (SA score): ask for
`oracle("sa", direction="minimise")`, which turns the sign, once.

To add one: write its function in `chem/descriptors.py` and its line here.
"""

from __future__ import annotations

from typing import NamedTuple


class PropertyLine(NamedTuple):
    """What to tell people about a property; a None end is open."""

    low: float | None
    high: float | None
    unit: str
    source: str


_RDKIT = "RDKit"
_CRIPPEN = "Wildman, Crippen 1999 (RDKit)"
_ORDER = "; depends on the atom order of the SMILES"

PROPERTIES: dict[str, PropertyLine] = {
    "qed": PropertyLine(0, 1, "", "drug-likeness, Bickerton 2012 (RDKit)"),
    "sa": PropertyLine(1, 10, "", "synthetic accessibility, lower is easier; Ertl, Schuffenhauer 2009 (RDKit Contrib)"),
    "np": PropertyLine(-5, 5, "", "natural-product likeness, Ertl 2008 (RDKit Contrib)"),
    "logp": PropertyLine(None, None, "log10", _CRIPPEN),
    "mr": PropertyLine(0, None, "cm^3/mol", f"molar refractivity, {_CRIPPEN}"),
    "tpsa": PropertyLine(0, None, "A^2", "polar surface of N and O, Ertl 2000 (RDKit)"),
    "mw": PropertyLine(0, None, "g/mol", f"average molecular weight, {_RDKIT}"),
    "exact_mw": PropertyLine(0, None, "g/mol", f"monoisotopic mass, {_RDKIT}"),
    "bertz": PropertyLine(0, None, "", "complexity, Bertz 1981 (RDKit)"),
    "fsp3": PropertyLine(0, 1, "", f"share of sp3 carbon, {_RDKIT}"),
    "hba": PropertyLine(0, None, "count", f"acceptors by SMARTS, {_RDKIT}"),
    "hbd": PropertyLine(0, None, "count", f"donors by SMARTS, {_RDKIT}"),
    "hba_lipinski": PropertyLine(0, None, "count", f"N and O atoms, {_RDKIT}"),
    "hbd_lipinski": PropertyLine(0, None, "count", f"NH and OH hydrogens, {_RDKIT}"),
    "rotatable_bonds": PropertyLine(0, None, "count", f"strict definition, {_RDKIT}"),
    "rings": PropertyLine(0, None, "count", _RDKIT),
    "aromatic_rings": PropertyLine(0, None, "count", _RDKIT),
    "heavy_atoms": PropertyLine(0, None, "count", _RDKIT),
    "fluorine_atoms": PropertyLine(0, None, "count", _RDKIT),
    "formal_charge": PropertyLine(None, None, "e", _RDKIT),
    "cycle_penalty_nx": PropertyLine(0, None, "atoms", f"longest spanning-tree cycle - 6{_ORDER}"),
    "cycle_penalty_sssr": PropertyLine(0, None, "atoms", "largest ring - 6"),
    "plogp_norm_gcpn": PropertyLine(None, None, "sd", f"penalised logP, normalised: GCPN, TDC, MARS{_ORDER}"),
    "plogp_norm_lolbo": PropertyLine(None, None, "sd", f"penalised logP, normalised: LOL-BO, GP-BO{_ORDER}"),
    "plogp_unnorm_nx": PropertyLine(None, None, "", f"logP - SA - spanning-tree cycle penalty{_ORDER}"),
    "plogp_unnorm_moldqn_sssr": PropertyLine(None, None, "", "logP - SA - largest-ring penalty: MolDQN"),
    "logp_sa": PropertyLine(None, None, "", "logP - SA: JT-VAE's constrained optimisation (800 molecules)"),
}

ALIASES: dict[str, str] = {
    "penalized_logp": "plogp_norm_gcpn",  # TDC's name
    "penalised_logp": "plogp_norm_gcpn",
    "plogp": "plogp_norm_gcpn",
    "plogp_norm_gpbo": "plogp_norm_lolbo",
    "sa_score": "sa",
    "np_score": "np",
    "molecular_weight": "mw",
}
