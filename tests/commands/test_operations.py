"""docs/operations.md and the command line: every setting, its default and every command is as the page says."""

import re
from pathlib import Path

import click
import pytest

from cartwake.__main__ import COMMANDS, cli
from cartwake.settings import Settings
from tests.commands.conftest import Run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_setting_is_there_with_its_default() -> None:
    said = re.findall(r"^\| `CARTWAKE_([A-Z_]+)` \| (?:`(.*?)`)? ?\|", PAGE, re.MULTILINE)
    assert {name.lower(): default for name, default in said} == {
        name: str(getattr(Settings(), name)) for name in Settings.__struct_fields__
    }
    assert len(said) == len(Settings.__struct_fields__)


def test_every_variable_on_the_page_is_a_setting() -> None:
    for name in set(re.findall(r"CARTWAKE_([A-Z_]*[A-Z])", PAGE)):
        assert name.lower() in Settings.__struct_fields__, name


def test_every_command_on_the_page_exists_with_its_options() -> None:
    lines = re.findall(
        r"\bcartwake ([a-z-]+)(?![a-z-])([^\n`]*)", " \n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    )
    lines += re.findall(r"`cartwake ([a-z-]+)(?![a-z-])([^\n`]*)`", PAGE)
    assert len(lines) > 20
    for name, rest in lines:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, name
        if isinstance(command, click.Group):
            command = command.commands[rest.split()[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        for option in re.findall(r"(?<=\s)--[a-z-]+", rest.partition("#")[0].partition("&&")[0]):
            assert option in known, (name, option)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(run: Run, name: str) -> None:
    said = run(name, "--help")
    assert said.exit_code == 0
    assert len(said.stdout.splitlines()) > 3


def test_changelog_names_every_command() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in COMMANDS)
