"""`cartwake up`: every role and every embedded part as one group of supervised processes."""

import sys

import click

from cartwake import settings as settings_file
from cartwake.group import group_of


@click.command("up")
def command() -> None:
    """Run everything on this machine until Ctrl-C, each role in a process of its own that is started again."""
    settings = settings_file.load()
    supervisor, running = group_of(settings)
    sys.stdout.write(
        f"console    {running.console_url}\ncollector  {running.collector_url}/v1/events\n"
        + (f"mailbox    {running.mailbox_url}\n" if not settings.has_relay else "")
        + f"logs       {running.data_dir / 'logs'}\nCtrl-C stops everything.\n"
    )
    sys.stdout.flush()
    supervisor.run()
