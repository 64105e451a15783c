"""The shape of the code base: imports flow down, files stay small, and what must start fast imports nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# a module imports only from lower floors and from its own package
FLOORS = {
    "core": 0,
    "chem": 1,
    "tokens": 1,
    "data": 2,
    "nn": 2,
    "oracles": 2,
    "model": 3,
    "workers": 3,
    "generation": 4,
    "training": 4,
    "estimator": 5,
    "anomaly": 6,
    "embedding": 6,
    "evaluation": 5,
    "search": 5,
    "report": 6,
    "cli": 7,
    "__main__": 8,
}
SAME_FLOOR_ALLOWED = {("tokens", "molvae.chem.molecules")}

MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc"}

SOURCES = sorted((ROOT / "molvae").rglob("*.py"))
PYTHON_FILES = [*SOURCES, *sorted((ROOT / "pipelines").rglob("*.py")), *sorted((ROOT / "tests").rglob("*.py"))]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in SOURCES}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(tree: ast.AST, types_too: bool = True) -> Iterator[str]:
    """Every module imported in a tree, inside functions too; `from a import b` gives a.b where that is a module."""
    for node in ast.iter_child_nodes(tree):
        if not types_too and is_type_checking(node):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module
        else:
            yield from imports(node, types_too)


def ours(path: Path, types_too: bool = True) -> list[str]:
    names = imports(ast.parse(path.read_text(encoding="utf-8")), types_too)
    return sorted({name for name in names if name.split(".")[0] == "molvae"})


@pytest.mark.parametrize("name", [name for name in MODULES if name != "molvae"])
def test_imports_flow_down(name: str) -> None:
    package = name.split(".")[1]
    assert package in FLOORS, f"{name}: give the package {package!r} a floor in FLOORS"
    for imported in ours(MODULES[name]):
        assert imported != "molvae", (
            f"{name} imports the lazy top package; import from the module that defines the name"
        )
        other = imported.split(".")[1]
        allowed = other == package or FLOORS[other] < FLOORS[package] or (package, imported) in SAME_FLOOR_ALLOWED
        assert allowed, f"{name} (floor {FLOORS[package]}) imports {imported} (floor {FLOORS[other]})"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: [i for i in ours(path, types_too=False) if i != name] for name, path in MODULES.items()}
    finished: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, "import cycle: " + " -> ".join((*trail[trail.index(name) :], name))
        if name not in finished:
            for imported in graph.get(name, []):
                visit(imported, (*trail, name))
            finished.add(name)

    for name in graph:
        visit(name, ())


def loaded_by(modules: list[str], forbidden: tuple[str, ...]) -> str:
    """Which of the forbidden packages a fresh interpreter holds after importing the modules."""
    code = f"""
import importlib, sys
for name in {modules!r}:
    importlib.import_module(name)
    found = [f for f in {forbidden!r} if f in sys.modules]
    if found:
        sys.exit(f"importing {{name}} loads {{', '.join(found)}}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    return "" if done.returncode == 0 else done.stderr.strip()


def below(*packages: str) -> list[str]:
    return [name for name in MODULES if any(name == p or name.startswith(p + ".") for p in packages)]


def test_the_command_line_and_the_top_package_start_light() -> None:
    heavy = ("torch", "rdkit", "selfies", "numpy", "pandas", "scipy", "sklearn", "optuna", "botorch", "pydantic")
    light = ("errors", "files", "devices", "progress", "stopping", "manifest")
    assert loaded_by(["molvae", *(f"molvae.core.{name}" for name in light)], heavy) == ""
    assert loaded_by(["molvae.cli"], heavy) == ""


def test_oracles_molecules_and_workers_never_load_torch() -> None:
    packages = ("molvae.core", "molvae.chem", "molvae.tokens", "molvae.oracles", "molvae.workers")
    assert loaded_by(below(*packages), ("torch",)) == ""


def test_a_bare_gpu_node_can_train() -> None:
    """Training from prepared shards needs torch, numpy and safetensors only."""
    shards = ["molvae.data.shards", "molvae.data.loader", "molvae.tokens.vocabulary"]
    modules = below("molvae.nn", "molvae.model", "molvae.training")
    chemistry = ("rdkit", "selfies", "pandas", "sklearn", "botorch", "gpytorch", "optuna")
    assert loaded_by([*shards, *modules], chemistry) == ""


@pytest.mark.parametrize("name", below("molvae.nn", "molvae.training"))
def test_training_code_does_not_even_import_chemistry_late(name: str) -> None:
    found = {i.split(".")[0] for i in imports(ast.parse(MODULES[name].read_text(encoding="utf-8")))}
    assert not found & {"rdkit", "selfies", "pandas", "sklearn"}


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    assert path.stem not in NAMES_THAT_SAY_NOTHING, "name the file after what is in it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_pickle_is_loaded(path: Path) -> None:
    """`torch.load` reads with weights_only=True; pandas and numpy are not asked for pickles."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        keywords = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
        assert not keywords.get("allow_pickle"), f"line {node.lineno}"
        assert node.func.attr != "read_pickle", f"line {node.lineno}"
        owner = getattr(node.func.value, "id", "")
        if owner == "torch" and node.func.attr == "load":
            assert keywords.get("weights_only") is True, f"line {node.lineno}"
        assert not (owner in ("pickle", "cloudpickle", "joblib") and node.func.attr in ("load", "loads"))


def test_public_names_are_there() -> None:
    import molvae

    for name in molvae.__all__:
        assert getattr(molvae, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'optimize'"):
        _ = molvae.optimize  # type: ignore[attr-defined]
