"""`cartwake bounces check|pipe|fetch`: what comes back from mail, from a folder, a mail server or a mailbox."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cartwake import settings as settings_file
from cartwake.errors import ConfigurationError, Unavailable
from cartwake.settings import Settings

if TYPE_CHECKING:
    from reminders.bounces.intake import Intake

#: EX_TEMPFAIL: the mail server keeps the mail and calls again (sysexits.h).
TRY_AGAIN: Final = 75
#: What other suites call our kinds. A report about a signature is their complaint, though nobody complained.
_SAME: Final = {
    "not-a-bounce": ("none", "auto-reply"),
    "complaint-opt-out": ("opt-out",),
    "complaint-auth-failure": ("auth-failure",),
}


@click.group("bounces")
def command() -> None:
    """Take in bounces and complaints: dead addresses and people who complained are not written to again."""


@command.command("check")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--expected", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="what each should be")
def check(folder: Path, expected: Path | None) -> None:
    """Print what each mail (*.eml) of FOLDER is taken for; nothing is written.

    EXPECTED is a JSON array of objects with `file` and `expected_class`. With it the differences are marked and
    counted, and the command ends with 1 when there is one.
    """
    from reminders.bounces.mail import MOST_BYTES
    from reminders.bounces.parse import classify

    wanted = _expected(expected) if expected else {}
    mails = sorted(folder.glob("*.eml"))
    differ = 0
    for path in mails:
        with path.open("rb") as file:
            verdict = classify(file.read(MOST_BYTES))
        want = wanted.get(path.name)
        wrong = want is not None and verdict.kind not in _SAME.get(want, (want,))
        differ += wrong
        note = f"  <- expected {want}" if wrong else ""
        sys.stdout.write(f"{path.name:<28} {verdict.kind:<13} {verdict.status:<8} {verdict.words}{note}\n")
    sys.stdout.flush()
    missing = sorted(wanted.keys() - {path.name for path in mails})
    _say(
        f"{len(mails)} mails" + (f", {differ} differ from what was expected, {len(missing)} missing" if wanted else "")
    )
    sys.exit(1 if differ or missing else 0)


@command.command("pipe")
@click.option("--recipient", "recipients", multiple=True, help="the envelope's recipient, where the server tells it")
@click.option("--patience", default=10.0, show_default=True, help="seconds to wait for Kafka")
def pipe(recipients: tuple[str, ...], patience: float) -> None:
    """Take in the mail on standard input, as a mail server's pipe hands it over.

    Ends with 0 once Kafka has what the mail says, and also for a mail that says nothing; with 75 (try again) while it
    can't be taken in, whatever the reason: a mail server answers anything else with a bounce of its own.
    """
    from reminders.bounces.mail import MOST_BYTES

    raw = sys.stdin.buffer.read(MOST_BYTES)
    while sys.stdin.buffer.read(1 << 16):
        pass  # a writer that finds the pipe closed would try again
    try:
        with _intake(patience) as intake:
            intake.take_mail(raw, way="pipe", recipients=recipients)
    except Exception as exc:
        _say(f"cartwake: {exc or type(exc).__name__}")
        sys.exit(TRY_AGAIN)


@command.command("fetch")
@click.option("--url", help="imaps://user@host/FOLDER or pop3s://user@host; else CARTWAKE_BOUNCES_URL")
@click.option("--password-file", help="where the password is; else CARTWAKE_BOUNCES_PASSWORD or …_PASSWORD_FILE")
@click.option("--delete", is_flag=True, help="IMAP: delete what was read; POP3 always does")
@click.option("--plain", is_flag=True, help="without TLS, on this machine only")
@click.option("--every", default="", help="stay, and look again after such a time: 5m")
def fetch(url: str | None, password_file: str | None, delete: bool, plain: bool, every: str) -> None:
    """Take in what is new in a mailbox for bounces. The mailbox has to be one of its own.

    Without options it is the mailbox of the settings. A mail is marked as done only after Kafka has what it says, so a
    run may be killed at any time.
    """
    import threading
    import time

    from msgspec.structs import replace

    from cartwake import jobs
    from cartwake.durations import duration
    from cartwake.roles import stop_on_signals
    from reminders.bounces.mailbox import EXAMPLE, set_mailbox
    from reminders.bounces.mailbox import fetch as take_in

    given: dict[str, Any] = {"url": url, "password_file": password_file, "delete": delete, "plain": plain}
    settings = replace(settings_file.load(), **{f"bounces_{name}": value for name, value in given.items() if value})
    mailbox = set_mailbox(settings)
    if mailbox is None:
        raise ConfigurationError(f"no mailbox for bounces is set. Example: CARTWAKE_BOUNCES_URL={EXAMPLE}")
    pause = duration(every).total_seconds() if every else 0.0
    stop = stop_on_signals() if pause else threading.Event()
    with _intake() as intake:
        while True:
            try:
                for kind, count in sorted(take_in(mailbox, intake).items()):
                    sys.stdout.write(f"{kind}  {count}\n")
                sys.stdout.flush()
            except Unavailable as exc:
                if not pause:
                    raise
                _say(f"cartwake: {exc}")
            if not pause or jobs.rest(settings, jobs.BOUNCES, time.time() + pause, stop):
                return


@contextmanager
def _intake(patience: float = 10.0) -> "Iterator[Intake]":
    """What takes reports in, with the settings of this process; raises ConfigurationError."""
    from cartwake.publish import Publisher
    from cartwake.secret import secret_of
    from reminders.bounces.intake import Intake
    from reminders.bounces.verp import Secret

    settings = settings_file.load()
    if not settings.secret and not (settings.data_dir / "secret").exists():
        # one made here would make every token a foreign one
        raise ConfigurationError(
            "the secret that signed the mails is not known here. Set the one of the role reminders: CARTWAKE_SECRET=…"
        )
    yield Intake(Secret(secret_of(settings)), Publisher(settings), _shops(settings), patience=patience)


def _shops(settings: Settings) -> Callable[[], Iterable[str]]:
    """Reads the settings topic once somebody asks for the shops, and follows it from then on."""
    from cartwake.shops import Shops, follow

    shops = Shops()
    followed: list[Any] = []

    def ids() -> Iterable[str]:
        if not followed:
            followed.append(follow(settings, shops))
        return [shop.shop_id for shop in shops]

    return ids


def _expected(file: Path) -> dict[str, str]:
    try:
        return {each["file"]: each["expected_class"] for each in json.loads(file.read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as exc:
        raise ConfigurationError(f'{file}: {exc!r}. Example: [{{"file": "a.eml", "expected_class": "hard"}}]') from exc


def _say(words: str) -> None:
    click.echo(words, err=True)
