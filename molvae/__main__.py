"""`python -m molvae` is the command `molvae`."""

from molvae.cli import main

main()
