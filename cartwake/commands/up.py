"""`cartwake up`: every role, the regular jobs and every embedded part as one group of supervised processes."""

import sys

import click

from cartwake import jobs
from cartwake import settings as settings_file
from cartwake.group import group_of


@click.command("up")
def command() -> None:
    """Run everything on this machine until Ctrl-C, each role in a process of its own that is started again.

    The regular jobs run beside them: the mailbox for bounces is read if one is set, and every day it is found out what
    is bought together.
    """
    from reminders.bounces.mailbox import set_mailbox

    settings = settings_file.load()
    set_mailbox(settings)  # a wrong one is said here, before anything runs
    supervisor, running = group_of(settings)
    sys.stdout.write(
        f"console    {running.console_url}\ncollector  {running.collector_url}/v1/events\n"
        + (f"mailbox    {running.mailbox_url}\n" if not settings.has_relay else "")
        + "".join(f"{job:<11}{words}\n" for job, words in jobs.said(settings))
        + f"logs       {running.data_dir / 'logs'}\nCtrl-C stops everything.\n"
    )
    sys.stdout.flush()
    supervisor.run()
