"""`cartwake demo`: a day of one shop through the real pipeline, then the same pipeline live."""

import json
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from cartwake import settings as settings_file
from cartwake.settings import Settings

_ORDER = (
    "events", "carts", "abandonments", "identified", "messages_sent", "mailbox", "suppressed", "recovered",
    "clickhouse_rows", "console", "seconds",
)  # fmt: skip
_PORTS = ("kafka_port", "clickhouse_port", "mailbox_port", "collector_port", "console_port")
#: Mails go to the local mailbox, text messages and pushes to the telephone and the browser beside it.
_NOBODY_OUTSIDE: dict[str, Any] = {
    "smtp_host": "", "smtp_relays": "", "dkim_keys": "", "bounce_address": "", "push_endpoints": "any",
    "sms_preset": "twilio", "sms_account": "demo", "sms_secret": "demo", "sms_sender": "+15005550006",
    "sms_request": "",
}  # fmt: skip
_TOLD = {
    "cart-reader": "not logged in, known by his device",
    "cart-guest": "a guest, address only typed in the checkout",
    "cart-quick": "bought just before the mail",
    "cart-back": "came back, and left again",
    "cart-kitchen-1": "a shared device, one session",
    "cart-kitchen-2": "a shared device, session unknown",
    "cart-late": "activity that was heard late",
    "cart-phone": "ordered by phone instead",
    "cart-later": "logged in only hours later",
    "cart-wrong": "matched wrongly, then unlinked",
    "cart-silent": "never agreed to mails",
    "cart-withdrawn": "took the consent back",
    "cart-odd": "a product name that is an attack",
}


@click.command("demo")
@click.option("--once", is_flag=True, help="end after the story and leave nothing running")
@click.option("--json", "as_json", is_flag=True, help="end with one line of JSON")
def command(once: bool, as_json: bool) -> None:
    """Show a shop's event stream going in and reminder mails coming out.

    The regular jobs of `cartwake up` are left out: no mail leaves the machine, so none comes back, and one day is too
    short to say what is bought together.
    """
    from cartwake.demo.show import show, stage

    once = once or not sys.stdout.isatty()
    console = Console(stderr=True, highlight=False)
    began = time.monotonic()
    settings = _settings(console)

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.1f} s[/]  {text}")

    with stage(settings, say) as running:
        shown = show(running, say, began)
        figures = shown.figures | {"seconds": round(time.monotonic() - began, 1)}
        if as_json:
            sys.stdout.write(json.dumps({name: figures[name] for name in _ORDER}) + "\n")
            sys.stdout.flush()
        else:
            _summary(Console(highlight=False), shown, figures, running)
        if not once:
            _live(running, console, say)
        elif not as_json:
            console.print("[dim]Nothing is left running. To look at the pages, run it on a terminal without --once.[/]")


def _settings(console: Console) -> Settings:
    """The settings with a data folder of the demo's own, made anew, and ports that are free."""
    base = settings_file.load()
    folder = Path(base.data_dir) / "demo"
    changes: dict[str, Any] = {"data_dir": folder} | _NOBODY_OUTSIDE
    for name in _PORTS:
        port = getattr(base, name)
        taken = [name for name in ("mailbox_port",) if not _free(port + 7000)] if name == "mailbox_port" else []
        if taken or not _free(port):
            changes[name] = _free_port(with_page=name == "mailbox_port")
            console.print(f"[dim]port {port} is in use; {name} is {changes[name]} for this demo[/]")
    from local import lock

    if lock.holder(folder / "kafka" / "lock") is not None:
        raise click.ClickException(f"another demo runs on {folder}. Stop it, or set CARTWAKE_DATA_DIR=another-folder")
    shutil.rmtree(folder, ignore_errors=True)
    if base.kafka_bootstrap:
        stamp = int(time.time())
        changes |= {"topic_prefix": f"{base.topic_prefix}demo-{stamp}.", "clickhouse_database": f"demo_{stamp}"}
    settings = msgspec.structs.replace(base, **changes)
    return msgspec.structs.replace(settings, sms_gateway=settings.mailbox_url)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port(*, with_page: bool) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if not with_page or (port + 7000 < 65_536 and _free(port + 7000)):
            return port


def _summary(out: Console, shown: Any, figures: dict[str, Any], running: Settings) -> None:
    out.print(
        f"\n[bold]{figures['events']:,} events[/], {figures['carts']} carts, "
        f"[bold]{figures['abandonments']} abandoned[/], {figures['identified']} with a known person; "
        f"[bold green]{figures['messages_sent']} mails sent[/], {figures['suppressed']} held back for a reason, "
        f"{figures['recovered']} carts recovered; {figures['clickhouse_rows']:,} rows in ClickHouse."
    )
    if shown.first_mail_after is not None:
        out.print(f"[dim]The first mail left {shown.first_mail_after:.1f} s after the start.[/]\n")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("who", "cart", "outcome", "why"):
        table.add_column(title, overflow="fold")
    for row in shown.cast:
        status = row["message_status"] or "nobody known"
        color = {"sent": "green", "recovered": "cyan"}.get(status, "yellow")
        said = "" if status == "sent" else row["message_words"]
        why = said or row["evidence_words"] or "no evidence says whose it is"
        table.add_row(_TOLD[row["cart_id"]], row["state"], f"[{color}]{status}[/]", why.replace("[", "\\["))
    out.print(table)
    for row in shown.refused:
        color = "red" if row["what"] == "request" else "magenta"
        what = "second mail by hand refused" if row["what"] == "request" else "set aside in dead-letters"
        out.print(f"[{color}]{what}:[/] {row['words']}")
    out.print(f"\nconsole  {running.console_url}\nmailbox  {running.mailbox_url}")


def _live(running: Settings, console: Console, say: Any) -> None:
    from cartwake.demo.show import LIVE_IDLE
    from cartwake.group import role_part
    from local.supervisor import Supervisor

    console.print(
        f"\n[bold]Now live.[/] Fill a cart and leave it: [bold]{running.collector_url}/shop/[/]\n"
        f"Its mail arrives {LIVE_IDLE} later in [bold]{running.mailbox_url}[/]; staff see it at "
        f"[bold]{running.console_url}[/].\nThis stays up until Ctrl-C."
    )
    parts = [role_part(role, msgspec.structs.replace(running, time="live")) for role in ("streams", "reminders")]
    Supervisor(parts, Path(running.data_dir), say).run()
    console.print("[dim]stopping[/]")
