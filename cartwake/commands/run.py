"""`cartwake run ROLE`: one role in this process, as a container or a service manager starts it."""

import click

from cartwake import settings as settings_file

_ROLES = ("streams", "reminders", "sink", "collector", "console")


@click.command("run")
@click.argument("role", type=click.Choice(_ROLES))
def command(role: str) -> None:
    """Run one ROLE until a signal comes. Kafka and ClickHouse are those of the settings, else `cartwake up`'s."""
    from cartwake import roles
    from local.stack import addressed

    roles.run(role, addressed(settings_file.load()))
