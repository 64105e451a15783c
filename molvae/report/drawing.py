"""Pictures of molecules as SVG text to put into a page."""

from __future__ import annotations

import re
from typing import Any

from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

from molvae.chem.molecules import LARGEST_DRAWN, parse


def molecule_svg(smiles: str, width: int = 260, height: int = 190) -> str:
    """An <svg> element that shows the molecule on a transparent ground; an empty one where the SMILES is invalid,
    or the molecule too large to be drawn."""
    mol = parse(smiles)
    if mol is None or mol.GetNumHeavyAtoms() > LARGEST_DRAWN:
        return f'<svg viewBox="0 0 {width} {height}"></svg>'
    drawer = rdMolDraw2D.MolDraw2DSVG(width, height)
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    options.bondLineWidth = 1.4
    options.padding = 0.06
    drawer.DrawMolecule(rdMolDraw2D.PrepareMolForDrawing(Chem.Mol(mol), kekulize=True))
    drawer.FinishDrawing()
    return _slimmed(drawer.GetDrawingText())


def _slimmed(svg: str) -> str:
    """Without what HTML does not need, half the size: XML header, comments, bond classes, fixed size, long numbers."""
    svg = re.sub(r"<\?xml.*?\?>|<!--.*?-->|<rect[^>]*style='opacity:1.0[^>]*>\s*</rect>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s(?:class|xmlns(?::\w+)?|xml:space|baseProfile|version)='[^']*'", "", svg)
    svg = re.sub(r"(<svg[^>]*?)\swidth='\w+'\sheight='\w+'", r"\1", svg, count=1)
    svg = re.sub(
        r"fill-rule:evenodd;|;?stroke-(?:linecap:butt|linejoin:miter|opacity:1)(?=[;'])", "", svg
    )  # the defaults
    svg = re.sub(r"(\d+\.\d)\d+", r"\1", svg)
    return re.sub(r"\s+", " ", svg).strip()
