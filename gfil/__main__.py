"""Entry point of `python -m gfil`."""

from gfil.cli import cli

cli(prog_name="gfil")
