"""The command line: `cartwake COMMAND`. Each command is a file in cartwake/commands/."""

import logging
import sys
from importlib import import_module

import click

from cartwake.errors import CartwakeError

COMMANDS = (
    "demo",
    "up",
    "run",
    "replay",
    "lab",
    "report",
    "sql",
    "audit",
    "offers",
    "remind",
    "notice",
    "preview",
    "recommend",
    "alarms",
    "doctor",
    "dlq",
    "erase",
    "bounces",
    "export",
    "export-person",
    "settings",
    "topics",
    "migrate",
)


class Commands(click.Group):
    """Finds `cartwake.commands.NAME:command` when NAME is asked for, a `-` in it being a `_`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"cartwake.commands.{cmd_name.replace('-', '_')}").command
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Turns carts people left behind into orders."""


def main() -> None:
    """Run a command; our own errors are shown as a sentence, without a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except CartwakeError as exc:
        click.secho(f"cartwake: {exc}", err=True, fg="red")
        sys.exit(1)


if __name__ == "__main__":
    main()
