"""`cartwake sql`: ask ClickHouse, in a conversation or once; only reading unless told otherwise."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from cartwake import settings as settings_file
from cartwake.errors import ConfigurationError
from cartwake.settings import Settings

if TYPE_CHECKING:
    from sinks.answers import Format
    from sinks.ask import Asker


@click.command("sql")
@click.argument("statement", required=False)
@click.option(
    "-f",
    "--file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="statements of a file, each ending with ; (- for the standard input)",
)
@click.option("--param", "parameters", multiple=True, metavar="NAME=VALUE", help="the value of {NAME:Type}")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "vertical", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="how to write the answer",
)
@click.option("--timing", is_flag=True, help="say how many rows and how long, on the standard error")
@click.option("--write", is_flag=True, help="let it change things: as the user that Cartwake itself is")
@click.option("--show-connection", is_flag=True, help="say how other programs connect, and end")
def command(
    statement: str | None,
    file: Path | None,
    parameters: tuple[str, ...],
    format_: str,
    timing: bool,
    write: bool,
    show_connection: bool,
) -> None:
    """Ask ClickHouse: STATEMENT, the statements of a file, or a conversation when neither is given.

    Views and columns: docs/dictionary.md; questions with their SQL: docs/analysts.md.
    """
    settings = settings_file.load()
    if show_connection:
        click.echo("\n".join(connection(settings)))
        return
    if statement is not None and file is not None:
        raise click.UsageError("give a statement or --file, not both")
    values = _values(parameters)
    text = statement
    if file is not None and str(file) != "-":
        text = _read(file)
    elif text is None and (file is not None or not sys.stdin.isatty()):
        text = sys.stdin.read()
    from sinks.pieces import pieces

    statements: list[str] = []
    if text is not None:
        statements, rest = pieces(text)
        statements += [rest] if rest else []
        if not statements:
            raise click.UsageError("there is no statement to ask")
    if format_ == "parquet" and (len(statements) != 1 or sys.stdout.isatty()):
        raise click.UsageError(
            "parquet is for one statement, into a file: cartwake sql … --format parquet > answer.parquet"
        )
    with_asker(settings, write, lambda asker, kept: _serve(asker, kept, statements, values, format_, timing))


def with_asker(configured: Settings, write: bool, act: "Callable[[Asker, Path], None]") -> None:
    """Connect as the analysts' user, or with `write` as Cartwake's, and `act`."""
    from local.stack import embedded
    from sinks.ask import Asker
    from sinks.clickhouse import ClickHouse
    from sinks.migrate import migrate_settings

    with embedded(configured, clickhouse=True, say=lambda words: click.echo(words, err=True)) as settings:
        if not configured.clickhouse_dsn and not configured.analyst_dsn:
            with ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store:
                migrate_settings(store, settings)  # this machine's own may be new
        own = write or not settings.analyst_dsn
        dsn = settings.clickhouse_dsn if own else settings.analyst_dsn
        with Asker.begin(dsn, settings.clickhouse_database, limited=own, writes=write) as asker:
            act(asker, settings.data_dir / "sql.history")


def connection(settings: Settings) -> Iterator[str]:
    """How other programs connect; passwords are named, not shown."""
    from local import reader

    database = settings.clickhouse_database
    dsn = settings.analyst_dsn or settings.clickhouse_dsn
    if dsn:
        parts = urlsplit(dsn)
        secure = parts.scheme in ("clickhouses", "https") or parts.port in (443, 8443)
        host, port, user = parts.hostname or "", parts.port or (8443 if secure else 8123), parts.username or "default"
        variable = "CARTWAKE_ANALYST_DSN" if settings.analyst_dsn else "CARTWAKE_CLICKHOUSE_DSN"
        secret, words, protocol = "…", f"in {variable}", "https" if secure else "http"
        if not settings.analyst_dsn:
            yield "This user may change everything. Make one that only reads: docs/analysts.md, CARTWAKE_ANALYST_DSN."
    else:
        host, port, user, protocol = "127.0.0.1", settings.clickhouse_port, reader.USER, "http"
        kept = settings.data_dir / "analyst.password"
        secret, words = f"$(cat {kept})", f"in {kept}, made when ClickHouse first starts"
        if settings.analyst_password:
            secret, words = "$CARTWAKE_ANALYST_PASSWORD", "in CARTWAKE_ANALYST_PASSWORD"
    yield from (
        f"host      {host}",
        f"port      {port} ({protocol.upper()})",
        f"database  {database}",
        f"user      {user}",
        f"password  {words}",
        "",
        f"curl      curl -u \"{user}:{secret}\" '{protocol}://{host}:{port}/?database={database}' "
        "--data-binary 'SHOW TABLES'",
        f"Python    clickhouse_connect.get_client(host={host!r}, port={port}, username={user!r}, password=…, "
        f"database={database!r}{', secure=True' if protocol == 'https' else ''})",
        f"JDBC      jdbc:clickhouse://{host}:{port}/{database}{'?ssl=true' if protocol == 'https' else ''} (DBeaver)",
        f"Grafana   plugin grafana-clickhouse-datasource: server {host}, port {port}, protocol HTTP, user {user}",
    )


def _serve(
    asker: "Asker", history: Path, statements: list[str], values: dict[str, str], format_: str, timing: bool
) -> None:
    import time

    from cartwake.shell import Counted, Shell, show
    from sinks.answers import FORMATS, lines

    if format_ == "parquet":
        out = click.get_binary_stream("stdout")
        for piece in asker.written(statements[0], values, "Parquet"):
            out.write(piece)
        out.flush()
        return
    chosen: Format = next(x for x in FORMATS if x == format_)
    if not statements:
        Shell(asker, values, chosen, history).run()
        return
    out_text = click.get_text_stream("stdout", encoding="utf-8")  # whatever the locale says
    for statement in statements:
        began = time.monotonic()
        with asker.answer(statement, values) as answer:
            counted = Counted(answer.rows)
            show(lines(type(answer)(answer.columns, counted), chosen, terminal=out_text.isatty()), out_text)
        if timing:
            click.echo(f"{counted.words}, {time.monotonic() - began:.3f} s", err=True)


def _values(parameters: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for parameter in parameters:
        name, sign, value = parameter.partition("=")
        if not (sign and name.isidentifier()):
            raise click.UsageError(f"--param {parameter}: it is NAME=VALUE. Example: --param from=2026-11-01")
        found[name] = value
    return found


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{file} can't be read: {exc}") from exc
