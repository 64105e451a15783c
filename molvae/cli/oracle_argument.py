"""The oracle that a command line names."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import ConfigDict

from molvae.core.config import AnySpec, Spec, load_config
from molvae.core.errors import ConfigError
from molvae.oracles import Oracle
from molvae.oracles import oracle as named_oracle
from molvae.oracles.config import OracleSpec


class OracleFile(Spec):
    """The `[oracle]` of a config; the other sections, such as those of a search, are left alone."""

    model_config = ConfigDict(extra="ignore")

    oracle: OracleSpec


class Parameters(Spec):
    """Whatever KEY=VALUE was given."""

    model_config = ConfigDict(extra="allow")


def build_oracle(text: str, parameters: Sequence[str]) -> Oracle:
    """An oracle from a name or a TOML file.

    Args:
        text: a name that `molvae oracles` lists, or the path of a .toml file with an `[oracle]`.
        parameters: KEY=VALUE, values as in TOML.

    Raises:
        ConfigError: unknown name, parameter or file.
    """
    for parameter in parameters:
        if not re.match(r"\s*[^\s=]+\s*=", parameter):
            raise ConfigError(f"--param {parameter!r}: expected KEY=VALUE, for instance target=c1ccccc1O")
    if text.endswith(".toml") or Path(text).is_file():
        return _loaded(text, OracleFile, [f"oracle.{parameter}" for parameter in parameters]).oracle.build()
    given = _loaded(None, Parameters, parameters).model_extra or {}
    try:
        return named_oracle(text, **given)
    except TypeError as error:
        raise ConfigError(f"oracle {text!r}: {error} (given: {json.dumps(given)})") from error


def _loaded(path: str | None, spec_type: type[AnySpec], parameters: Sequence[str]) -> AnySpec:
    """`load_config`, whose messages call the overrides by the option that they came from here."""
    try:
        return load_config(path, spec_type, parameters)
    except ConfigError as error:
        raise ConfigError(re.sub(r"^--set\b", "--param", str(error), flags=re.MULTILINE)) from None
