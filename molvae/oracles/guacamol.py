"""GuacaMol's goal-directed benchmarks and the tasks of PMO, as a table of data.

Targets, parts and means are those of the code of GuacaMol 0.5.5 and of TDC from 0.3.7 on, which agree on the 20 PMO
tasks; where papers and code differ, the code is followed (`sitagliptin_mpo`, `zaleplon_mpo` and the isomer tasks of
earlier TDC versions, on which the first PMO tables stand, are other functions).

References:
    Brown, Fiscato, Segler, Vaucher. GuacaMol. J. Chem. Inf. Model. 59, 1096 (2019).
    Huang et al. Therapeutics Data Commons. NeurIPS Datasets and Benchmarks (2021).
    Gao, Fu, Sun, Coley. Sample Efficiency Matters (PMO). NeurIPS Datasets and Benchmarks (2022).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from rdkit import Chem

from molvae.chem.descriptors import DESCRIPTORS
from molvae.chem.fingerprints import FingerprintKind
from molvae.oracles.components import ElementCount, Isomer, Property, Similarity, Substructure
from molvae.oracles.desirability import Aggregation, Clip, Gaussian, Identity, MaxGaussian, MinGaussian, Modifier
from molvae.oracles.objective import AnyComponent, Objective, Term

CITATION = "Brown et al. J. Chem. Inf. Model. 59, 1096 (2019); Gao et al. NeurIPS Datasets and Benchmarks (2022)"

TARGETS: dict[str, str] = {
    "celecoxib": "CC1=CC=C(C=C1)C1=CC(=NN1C1=CC=C(C=C1)S(N)(=O)=O)C(F)(F)F",
    "troglitazone": "Cc1c(C)c2OC(C)(COc3ccc(CC4SC(=O)NC4=O)cc3)CCc2c(C)c1O",
    "thiothixene": "CN(C)S(=O)(=O)c1ccc2Sc3ccccc3C(=CCCN4CCN(C)CC4)c2c1",
    "aripiprazole": "Clc4cccc(N3CCN(CCCCOc2ccc1c(NC(=O)CC1)c2)CC3)c4Cl",
    "albuterol": "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1",
    "mestranol": "COc1ccc2[C@H]3CC[C@@]4(C)[C@@H](CC[C@@]4(O)C#C)[C@@H]3CCc2c1",
    "camphor": "CC1(C)C2CCC1(C)C(=O)C2",
    "menthol": "CC(C)C1CCC(C)CC1O",
    "tadalafil": "O=C1N(CC(N2C1CC3=C(C2C4=CC5=C(OCO5)C=C4)NC6=C3C=CC=C6)=O)C",
    "sildenafil": "CCCC1=NN(C2=C1N=C(NC2=O)C3=C(C=CC(=C3)S(=O)(=O)N4CCN(CC4)C)OCC)C",
    "osimertinib": "COc1cc(N(C)CCN(C)C)c(NC(=O)C=C)cc1Nc2nccc(n2)c3cn(C)c4ccccc34",
    "fexofenadine": "CC(C)(C(=O)O)c1ccc(cc1)C(O)CCCN2CCC(CC2)C(O)(c3ccccc3)c4ccccc4",
    "ranolazine": "COc1ccccc1OCC(O)CN2CCN(CC(=O)Nc3c(C)cccc3C)CC2",
    "perindopril": "O=C(OCC)C(NC(C(=O)N1C(C(=O)O)CC2CCCCC12)C)CCC",
    "amlodipine": r"Clc1ccccc1C2C(=C(/N/C(=C2/C(=O)OCC)COCCN)C)\C(=O)OC",
    "sitagliptin": "Fc1cc(c(F)cc1F)CC(N)CC(=O)N3Cc2nnc(n2CC3)C(F)(F)F",
    "zaleplon": "O=C(C)N(CC)C1=CC=CC(C2=CC=NC3=C(C=NN23)C#N)=C1",
    "pioglitazone": "O=C1NC(=O)SC1Cc3ccc(OCCc2ncc(cc2)CC)cc3",
    "cobimetinib": "OC1(CN(C1)C(=O)C1=C(NC2=C(F)C=C(I)C=C2)C(F)=C(F)C=C1)C1CCCCN1",
    "hop start": "CCCOc1cc2ncnc(Nc3ccc4ncsc4c3)c2cc1S(=O)(=O)C(C)(C)C",
}
VALSARTAN_SMARTS = "CN(C=O)Cc1ccc(c2ccccc2)cc1"
SCAFFOLD = "[#7]-c1n[c;h1]nc2[c;h1]c(-[#8])[c;h0][c;h1]c12"
DECORATION_1 = "CS([#6])(=O)=O"
DECORATION_2 = "[#7]-c1ccc2ncsc2c1"
DECORATION_3 = "[#6]-[#6]-[#6]-[#8]-[#6]~[#6]~[#6]~[#6]~[#6]-[#7]-c1ccc2ncsc2c1"


def _sim(target: str, kind: FingerprintKind, modifier: Modifier | None = None) -> Term:
    component = Similarity(target=TARGETS[target], fingerprint=kind)
    return Term(component=component, modifier=modifier or Identity(), name=f"{kind} similarity to {target}")


def _prop(name: str, modifier: Modifier) -> Term:
    return Term(component=Property(name=name), modifier=modifier)


def _smarts(name: str, pattern: str, present: bool = True) -> Term:
    return Term(component=Substructure(pattern=pattern, present=present), name=name)


def _part(component: AnyComponent, modifier: Modifier | None = None) -> Term:
    return Term(component=component, modifier=modifier or Identity())


def _of_target(target: str, descriptor: str) -> float:
    """A descriptor of a target, computed by this RDKit as the original implementations do."""
    return DESCRIPTORS[descriptor](Chem.MolFromSmiles(TARGETS[target]))


def _join(*terms: Term, by: Aggregation = "geometric") -> Objective:
    return Objective(terms=terms, aggregation=by)


def _isomers(formula: str) -> Callable[[], Objective]:
    return lambda: _join(_part(Isomer(formula=formula)))


def _like(target: str, kind: FingerprintKind, clip: float | None = None) -> Callable[[], Objective]:
    return lambda: _join(_sim(target, kind, Clip(upper=clip) if clip else None))


def _median1(by: Aggregation = "geometric") -> Objective:
    return _join(_sim("camphor", "ECFP4"), _sim("menthol", "ECFP4"), by=by)


def _median2() -> Objective:
    return _join(_sim("tadalafil", "ECFP6"), _sim("sildenafil", "ECFP6"))


def _osimertinib(by: Aggregation = "geometric") -> Objective:
    return _join(
        _sim("osimertinib", "FCFP4", Clip(upper=0.8)),
        _sim("osimertinib", "ECFP6", MinGaussian(mean=0.85, sd=0.1)),
        _prop("tpsa", MaxGaussian(mean=100, sd=10)),
        _prop("logp", MinGaussian(mean=1, sd=1)),
        by=by,
    )


def _fexofenadine(by: Aggregation = "geometric") -> Objective:
    return _join(
        _sim("fexofenadine", "AP", Clip(upper=0.8)),
        _prop("tpsa", MaxGaussian(mean=90, sd=10)),
        _prop("logp", MinGaussian(mean=4, sd=1)),
        by=by,
    )


def _ranolazine() -> Objective:
    return _join(
        _sim("ranolazine", "AP", Clip(upper=0.7)),
        _prop("logp", MaxGaussian(mean=7, sd=1)),
        _prop("tpsa", MaxGaussian(mean=95, sd=20)),
        _part(ElementCount(symbol="F"), Gaussian(mean=1, sd=1)),
    )


def _perindopril() -> Objective:
    return _join(_sim("perindopril", "ECFP4"), _prop("aromatic_rings", Gaussian(mean=2, sd=0.5)))


def _amlodipine() -> Objective:
    return _join(_sim("amlodipine", "ECFP4"), _prop("rings", Gaussian(mean=3, sd=0.5)))


def _sitagliptin() -> Objective:
    return _join(
        _sim("sitagliptin", "ECFP4", Gaussian(mean=0, sd=0.1)),
        _prop("logp", Gaussian(mean=_of_target("sitagliptin", "logp"), sd=0.2)),
        _prop("tpsa", Gaussian(mean=_of_target("sitagliptin", "tpsa"), sd=5)),
        _part(Isomer(formula="C16H15F6N5O")),
    )


def _zaleplon() -> Objective:
    return _join(_sim("zaleplon", "ECFP4"), _part(Isomer(formula="C19H17N3O2")))


def _valsartan() -> Objective:
    return _join(
        _smarts("valsartan SMARTS", VALSARTAN_SMARTS),
        _prop("logp", Gaussian(mean=_of_target("sitagliptin", "logp"), sd=0.2)),
        _prop("tpsa", Gaussian(mean=_of_target("sitagliptin", "tpsa"), sd=5)),
        _prop("bertz", Gaussian(mean=_of_target("sitagliptin", "bertz"), sd=30)),
    )


def _deco_hop() -> Objective:
    return _join(
        _sim("hop start", "PHCO", Clip(upper=0.85)),
        _smarts("decoration 1 absent", DECORATION_1, present=False),
        _smarts("decoration 2 absent", DECORATION_2, present=False),
        _smarts("scaffold present", SCAFFOLD),
        by="arithmetic",
    )


def _scaffold_hop() -> Objective:
    return _join(
        _sim("hop start", "PHCO", Clip(upper=0.75)),
        _smarts("decoration present", DECORATION_3),
        _smarts("scaffold absent", SCAFFOLD, present=False),
        by="arithmetic",
    )


def _plain(name: str, modifier: Modifier | None = None) -> Callable[[], Objective]:
    return lambda: _join(_prop(name, modifier or Identity()))


def _cns(logp_mean: float) -> Objective:
    return _join(
        _prop("tpsa", MinGaussian(mean=90, sd=30)),
        _prop("tpsa", MaxGaussian(mean=40, sd=20)),
        _prop("hbd", MinGaussian(mean=0, sd=2)),
        _prop("logp", MinGaussian(mean=logp_mean, sd=1)),
        _prop("mw", MinGaussian(mean=360, sd=60)),
        by="arithmetic",
    )


def _pioglitazone() -> Objective:
    return _join(
        _sim("pioglitazone", "ECFP4", Gaussian(mean=0, sd=0.1)),
        _prop("mw", Gaussian(mean=_of_target("pioglitazone", "mw"), sd=10)),
        _prop("rotatable_bonds", Gaussian(mean=2, sd=0.5)),
    )


def _v1_cobimetinib() -> Objective:
    return _join(
        _sim("cobimetinib", "FCFP4", Clip(upper=0.7)),
        _sim("cobimetinib", "ECFP6", MinGaussian(mean=0.75, sd=0.1)),
        _prop("rotatable_bonds", MinGaussian(mean=3, sd=1)),
        _prop("aromatic_rings", MaxGaussian(mean=3, sd=1)),
        _part(_cns(6.35584)),
        by="arithmetic",
    )


def _v1_physchem() -> Objective:
    return _join(
        _prop("bertz", MaxGaussian(mean=1500, sd=200)),
        _prop("mw", MinGaussian(mean=400, sd=40)),
        _prop("aromatic_rings", MinGaussian(mean=3, sd=1)),
        _part(ElementCount(symbol="F"), Gaussian(mean=6, sd=1)),
        by="arithmetic",
    )


def _v1_ranolazine() -> Objective:
    return _join(
        _sim("ranolazine", "AP", Clip(upper=0.7)),
        _prop("logp", MaxGaussian(mean=7, sd=1)),
        _part(ElementCount(symbol="F"), Gaussian(mean=1, sd=1)),
        _prop("aromatic_rings", MinGaussian(mean=1, sd=1)),
        by="arithmetic",
    )


_PMO: dict[str, Callable[[], Objective]] = {
    "celecoxib_rediscovery": _like("celecoxib", "ECFP4"),
    "troglitazone_rediscovery": _like("troglitazone", "ECFP4"),
    "thiothixene_rediscovery": _like("thiothixene", "ECFP4"),
    "albuterol_similarity": _like("albuterol", "FCFP4", 0.75),
    "mestranol_similarity": _like("mestranol", "AP", 0.75),
    "isomers_c7h8n2o2": _isomers("C7H8N2O2"),
    "isomers_c9h10n2o2pf2cl": _isomers("C9H10N2O2PF2Cl"),
    "median1": _median1,
    "median2": _median2,
    "osimertinib_mpo": _osimertinib,
    "fexofenadine_mpo": _fexofenadine,
    "ranolazine_mpo": _ranolazine,
    "perindopril_mpo": _perindopril,
    "amlodipine_mpo": _amlodipine,
    "sitagliptin_mpo": _sitagliptin,
    "zaleplon_mpo": _zaleplon,
    "valsartan_smarts": _valsartan,
    "deco_hop": _deco_hop,
    "scaffold_hop": _scaffold_hop,
    "qed": _plain("qed"),
}
PMO_TASKS: tuple[str, ...] = tuple(_PMO)

# GuacaMol's own names where they are not "guacamol_" + the TDC name.
_RENAMED = {"median1": "median_molecules_1", "median2": "median_molecules_2"}
_RENAMED |= {"isomers_c7h8n2o2": "trivial_c7h8n2o2", "isomers_c9h10n2o2pf2cl": "c9h10n2o2pf2cl", "qed": "trivial_qed"}
_RENAMED |= {"isomers_c11h24": "c11h24"}

TASKS: dict[str, Callable[[], Objective]] = {
    **_PMO,
    "aripiprazole_similarity": _like("aripiprazole", "FCFP4", 0.75),  # TDC's; GuacaMol v2 takes ECFP4
    "isomers_c11h24": _isomers("C11H24"),
    **{f"guacamol_{_RENAMED.get(name, name)}": build for name, build in _PMO.items()},
    "guacamol_aripiprazole_similarity": _like("aripiprazole", "ECFP4", 0.75),
    "guacamol_c11h24": _isomers("C11H24"),
    "guacamol_trivial_pioglitazone_mpo": _pioglitazone,
    "guacamol_trivial_cns_mpo": lambda: _cns(5.0),
    "guacamol_trivial_logp_m1.0": _plain("logp", Gaussian(mean=-1, sd=1)),
    "guacamol_trivial_logp_8.0": _plain("logp", Gaussian(mean=8, sd=1)),
    "guacamol_trivial_tpsa_150.0": _plain("tpsa", Gaussian(mean=150, sd=20)),
    "guacamol_v1_cobimetinib_mpo": _v1_cobimetinib,
    "guacamol_v1_physchem_mpo": _v1_physchem,
    "guacamol_v1_ranolazine_mpo": _v1_ranolazine,
    "guacamol_v1_osimertinib_mpo": lambda: _osimertinib("arithmetic"),
    "guacamol_v1_fexofenadine_mpo": lambda: _fexofenadine("arithmetic"),
    "guacamol_v1_median_molecules_1": lambda: _median1("arithmetic"),
    "guacamol_v1_cns_mpo": lambda: _cns(6.35584),
    "guacamol_v1_aripiprazole_similarity": _like("aripiprazole", "FCFP4", 0.75),
}

# What GuacaMol asks of a task: its score is the mean over these k of the mean of the k best, see
# `molvae.search.metrics.guacamol_score`.
_FEW_OR_ALL = {f"{name}_rediscovery": (1,) for name in ("celecoxib", "troglitazone", "thiothixene")}
_FEW_OR_ALL |= {"isomers_c11h24": (159,), "isomers_c7h8n2o2": (100,), "isomers_c9h10n2o2pf2cl": (250,)}
TOP_K: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(TASKS, (1, 10, 100)),
    **_FEW_OR_ALL,
    **{f"guacamol_{_RENAMED.get(name, name)}": top for name, top in _FEW_OR_ALL.items()},
}


@cache
def task(name: str) -> Objective:
    """The objective of a benchmark task, a key of `TASKS`."""
    return TASKS[name]()
