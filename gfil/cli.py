"""The command line: every command under one name."""

import click

from gfil import config
from gfil.commands import (
    Commands,
    benchmark,
    gaps,
    import_export,
    keys,
    maintenance,
    migrate,
    replay,
    retention,
    server,
    stats,
    symbols,
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(config.VERSION, prog_name="gfil")
def cli() -> None:
    """Store market candles and ticks, and serve charts of any timeframe."""


for command in (
    *(server.serve, server.init, import_export.import_, import_export.export, symbols.symbol_group),
    migrate.migrate,
    *(symbols.delete, gaps.gaps, keys.key, replay.replay, stats.stats, benchmark.bench),
    *(retention.retention, retention.prune),
    *(maintenance.backup, maintenance.restore, maintenance.doctor),
):
    cli.add_command(command)
