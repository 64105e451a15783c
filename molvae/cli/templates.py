"""The shipped configs, as something to start from."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from molvae.core.config import did_you_mean
from molvae.core.errors import ConfigError
from molvae.core.files import write_text

HOMES = (  # beside the sources, or where an installed package keeps its data
    Path(__file__).parents[2] / "configs",
    Path(sys.prefix) / "share" / "molvae" / "configs",
)


def template_paths() -> dict[str, Path]:
    """Name -> file of every shipped config, such as "quickstart" or "search/random"."""
    home = next((home for home in HOMES if home.is_dir()), None)
    if home is None:
        raise ConfigError(f"the shipped configs are in none of {', '.join(map(str, HOMES))}; install molvae again")
    return {path.relative_to(home).with_suffix("").as_posix(): path for path in sorted(home.rglob("*.toml"))}


def write_template(name: str, path: Path) -> str:
    """Write a copy of the shipped config `name` to `path` and return the command for it; no file is ever replaced.

    The copy speaks of itself by its new name.

    Raises:
        ConfigError: no such config, or `path` exists.
    """
    templates = template_paths()
    if name not in templates:
        known = ", ".join(templates)
        raise ConfigError(f"no shipped config {name!r}{did_you_mean(name, list(templates))} (there are: {known})")
    if path.exists():
        raise ConfigError(f"{path}: exists already; give another name, or remove it first")
    if path.suffix != ".toml":
        raise ConfigError(f"{path}: configs are TOML files; give a name that ends in .toml")
    text = templates[name].read_text(encoding="utf-8")
    text = text.replace(f"configs/{name}.toml", str(path))
    text = re.sub(rf"runs/{re.escape(Path(name).name)}(?![\w-])", f"runs/{path.stem}", text)
    write_text(path, text)
    sections = tomllib.loads(text)
    if "methods" in sections:  # results of its own, so that a changed study never replaces the published rows
        return f"python -m pipelines.benchmark_pmo {path} --out {path.with_suffix('.csv')}"
    if "variants" in sections:
        return f"python -m pipelines.benchmark_variants {path} --data FILE --out {path.with_suffix('.csv')}"
    return f"molvae {'optimise' if 'oracle' in sections else 'train'} {path}"
