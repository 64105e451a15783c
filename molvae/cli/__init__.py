"""The command `molvae`. Heavy modules are imported inside the verbs, so that `molvae --help` answers at once."""

from molvae.cli.faults import main

__all__ = ["main"]
