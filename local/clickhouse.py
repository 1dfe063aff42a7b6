"""The real ClickHouse engine on this machine, behind ClickHouse's own HTTP interface, on loopback.

`python -m local.clickhouse --data-dir D --port P --user U` opens the engine once and serves it. The password is
CARTWAKE_CLICKHOUSE_PASSWORD, else what stands in `D/clickhouse.password`, made when absent. A second user, `analyst`,
only reads (local/reader.py); its password is CARTWAKE_ANALYST_PASSWORD, else what stands in `D/analyst.password`.
"""

import argparse
import contextlib
import os
import secrets
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

from cartwake.errors import CartwakeError, ConfigurationError
from local import lock, reader

USER = "cartwake"
CLOSE_BOUND_S = 8.0
PASSWORD_VARIABLE = "CARTWAKE_CLICKHOUSE_PASSWORD"  # noqa: S105 - the variable's name
READER_VARIABLE = "CARTWAKE_ANALYST_PASSWORD"


def password(data_dir: Path, given: str = "") -> str:
    """`given`, else the environment's, else the one that is made once and kept in `data_dir/clickhouse.password`."""
    return given or os.environ.get(PASSWORD_VARIABLE, "") or _kept(data_dir, data_dir / "clickhouse.password")


def reader_password(data_dir: Path, given: str = "") -> str:
    """The same for the user that only reads, kept in `data_dir/analyst.password`."""
    return given or os.environ.get(READER_VARIABLE, "") or _kept(data_dir, data_dir / "analyst.password")


def _kept(data_dir: Path, path: Path) -> str:
    data_dir.mkdir(parents=True, exist_ok=True)
    for _ in range(50):
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(24) + "\n")
        if known := path.read_text(encoding="utf-8").strip():
            return known
        time.sleep(0.02)  # another process has made the file and is about to write it
    raise ConfigurationError(f"{path} is empty. Remove it, and a new password is made.")


def dsn(data_dir: Path, port: int, database: str, given: str = "") -> str:
    """`clickhouse://user:password@127.0.0.1:port/database` of the embedded ClickHouse of `data_dir`."""
    return f"clickhouse://{USER}:{quote(password(data_dir, given), safe='')}@127.0.0.1:{port}/{database}"


def reader_dsn(data_dir: Path, port: int, database: str, given: str = "") -> str:
    """The same for the user that only reads."""
    return f"clickhouse://{reader.USER}:{quote(reader_password(data_dir, given), safe='')}@127.0.0.1:{port}/{database}"


def answers(port: int, timeout_s: float = 1.0) -> bool:
    """Whether a ClickHouse on 127.0.0.1:`port` answers /ping."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout_s) as peer:
            peer.sendall(b"GET /ping HTTP/1.0\r\n\r\n")
            with peer.makefile("rb") as reply:
                return reply.read(4096).endswith(b"Ok.\n")
    except OSError:
        return False


def main() -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m local.clickhouse", description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, default=Path(".cartwake"))
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--user", default=USER)
    parser.add_argument("--database", help="created when absent")
    arguments = parser.parse_args()
    import uvicorn  # noqa: PLC0415 - only the server needs these two

    from local import clickhouse_http  # noqa: PLC0415

    os.environ["TZ"] = "UTC"  # the engine takes its time zone from the process
    time.tzset()
    try:
        lock.refuse_taken(arguments.port, "the embedded ClickHouse", "CARTWAKE_CLICKHOUSE_PORT=18123")
        held = lock.take(arguments.data_dir / "clickhouse.lock", arguments.port, "ClickHouse")
        folder = (arguments.data_dir / "clickhouse").resolve()
        server = clickhouse_http.Server(
            folder, arguments.user, password(arguments.data_dir), reader_password(arguments.data_dir)
        )
        if arguments.database:
            server.make_database(arguments.database)
    except CartwakeError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again when it has stopped
        signal.signal(number, lambda *_: None)
    uvicorn.run(
        server.app,
        host="127.0.0.1",
        port=arguments.port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=clickhouse_http.HEAD,
        lifespan="off",
    )
    last_resort = threading.Timer(CLOSE_BOUND_S, os._exit, (0,))  # a query that goes on; answered inserts are on disk
    last_resort.daemon = True
    last_resort.start()
    server.close()
    os.close(held)
    return 0


if __name__ == "__main__":
    sys.exit(main())
