"""One frozen object of settings, from `cartwake.toml` and `CARTWAKE_…`, built once and passed in.

The environment wins over the file. `kafka_bootstrap` and `clickhouse_dsn` empty mean the embedded parts.
What a shop's staff may change (idle time, texts, shops) lives in the `settings` topic, not here.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from cartwake.errors import ConfigurationError

Port = Annotated[int, Meta(ge=1, le=65535)]
_PREFIX = "CARTWAKE_"
_HOSTS = r"^(([^\s,:]+|\[[0-9a-fA-F:]+\]):\d{1,5}(,([^\s,:]+|\[[0-9a-fA-F:]+\]):\d{1,5})*)?$"
_RETENTION = r"[a-z][a-z0-9_]*=([1-9]\d{0,2}|[12]\d{3}|3[0-5]\d{2}|36[0-4]\d|3650)"
_RELAYS = r"^\s*(smtps?://[^\s,]+([\s,]+smtps?://[^\s,]+)*)?\s*$"
_RETENTIONS = rf"^({_RETENTION}(,{_RETENTION})*)?$"
#: What to show where the default is empty.
_EXAMPLES = {
    "kafka_bootstrap": "kafka-1.example.com:9092,kafka-2.example.com:9092",
    "clickhouse_dsn": "clickhouse://cartwake:password@clickhouse.example.com:8123/cartwake",
    "analyst_dsn": "clickhouse://analyst:password@clickhouse.example.com:8123/cartwake",
    "clickhouse_cluster": "cartwake",
    "retention_tables": "messages=365,cart_events=30",
    "smtp_relays": "smtps://user:password@smtp-1.example.com:465,smtp://user:password@smtp-2.example.com:587",
    "public_url": "https://t.shop.example.com",
    "console_public_url": "https://carts.shop.example.com",
    "secret": "$(openssl rand -hex 24)",
    "demo_idle": "20s",
    "sms_gateway": "https://sms.example.com/v1/messages",
    "sms_sender": "+15005550006",
    "push_private_key": "43 characters of base64url, as `npx web-push generate-vapid-keys` makes them",
    "push_contact": "mailto:carts@shop.example.com",
    "bounce_address": "bounces@shop.example.com",
    "ses_topics": "arn:aws:sns:eu-west-1:123456789012:ses-feedback",
    "postmark_credentials": "postmark:$(openssl rand -hex 24)",
}


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How this process reaches its parts."""

    # Kafka: empty means the embedded one on 127.0.0.1:kafka_port
    kafka_bootstrap: Annotated[str, Meta(pattern=_HOSTS)] = ""
    kafka_port: Port = 9092
    topic_prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]*$")] = "cartwake."
    partitions: Annotated[int, Meta(ge=1, le=1000)] = 4
    replication: Annotated[int, Meta(ge=1, le=9)] = 1

    # ClickHouse: empty means the embedded engine on 127.0.0.1:clickhouse_port
    clickhouse_dsn: Annotated[str, Meta(pattern=r"^(clickhouse[a-z]*://\S+)?$")] = ""
    clickhouse_port: Port = 8123
    clickhouse_password: str = ""  # of the embedded engine; empty means one made and kept in data_dir
    clickhouse_database: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")] = "cartwake"
    # The analysts' user, who only reads. An empty DSN means the embedded engine's, else clickhouse_dsn read-only
    analyst_dsn: Annotated[str, Meta(pattern=r"^(clickhouse[a-z]*://\S+)?$")] = ""
    analyst_password: str = ""  # of the embedded engine's `analyst`; empty means one made and kept in data_dir
    clickhouse_cluster: Annotated[str, Meta(pattern=r"^([A-Za-z_][A-Za-z0-9_.-]{0,63})?$")] = ""  # empty: one server
    retention_days: Annotated[int, Meta(ge=1, le=3650)] = 90
    retention_tables: Annotated[str, Meta(pattern=_RETENTIONS)] = ""  # other days for some: messages=365,cart_events=30

    # Mail: neither smtp_host nor smtp_relays means the local mailbox on 127.0.0.1:mailbox_port
    smtp_host: str = ""
    smtp_port: Port = 587
    smtp_user: str = ""
    smtp_password: str = ""
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    smtp_relays: Annotated[str, Meta(pattern=_RELAYS)] = ""  # addresses; wins over smtp_host
    smtp_connections: Annotated[int, Meta(ge=1, le=500)] = 8  # to each relay
    smtp_messages: Annotated[int, Meta(ge=1)] = 200  # over one connection
    smtp_rate: Annotated[float, Meta(ge=0)] = 0  # mails a second over each relay; 0: no limit
    smtp_host_connections: Annotated[int, Meta(ge=0)] = 0  # mails on their way to one recipient host; 0: no limit
    smtp_host_rate: Annotated[float, Meta(ge=0)] = 0  # mails a second to one recipient host; 0: no limit
    dkim_keys: str = ""  # selector._domainkey.domain=file, apart by spaces or commas; empty: the relay signs
    mailbox_port: Annotated[int, Meta(ge=1, le=58_535)] = 1025  # its page is 7,000 above
    mail_from: Annotated[str, Meta(pattern=r"^[^\r\n]*[^@\s<]+@[^@\s>]+>?$")] = "Cartwake <carts@example.com>"

    # Text messages: `none` sends none. See docs/sms.md
    sms_preset: Literal["none", "twilio", "generic"] = "none"
    sms_gateway: Annotated[str, Meta(pattern=r"^(https?://[^\s/]\S*)?$")] = ""  # twilio: empty means Twilio's own
    sms_account: str = ""
    sms_secret: str = ""
    sms_sender: Annotated[
        str, Meta(pattern=r"^(\+?[0-9]{3,15}|MG[0-9a-f]{32}|(?=.*[A-Za-z])[A-Za-z0-9 &._+-]{1,11})?$")
    ] = ""
    sms_request: str = ""  # of `generic`: the request and its answers, as JSON
    sms_segments: Annotated[int, Meta(ge=1, le=10)] = 3  # of one message at most
    sms_transliterate: bool = True  # letters without marks that would make a message cost twice
    sms_rate: Annotated[int, Meta(ge=1, le=1000)] = 10  # messages a second and process

    # Web push: keys follow from `secret` unless one is given; an empty contact means the address of mail_from
    push_private_key: Annotated[str, Meta(pattern=r"^([A-Za-z0-9_-]{43})?$")] = ""
    push_contact: Annotated[str, Meta(pattern=r"^((mailto:[^\s@]+@[^\s@]+\.|https://)\S+)?$")] = ""
    push_endpoints: Literal["public", "any"] = "public"  # `any`: also on this machine and without TLS, for tries

    # What comes back from mail (docs/mail-feedback.md). An empty bounce_address means the sender's own, without a token
    bounce_address: Annotated[str, Meta(pattern=r"^([^@\s+]{1,7}@[^@\s]+)?$")] = ""
    ses_topics: str = ""  # ARNs of SNS topics, separated by commas
    sendgrid_key: str = ""  # the verification key of the signed event webhook
    postmark_credentials: str = ""  # user:password of the webhook's URL
    bounces_url: str = ""  # imaps://user@host/FOLDER or pop3s://user@host: the mailbox that `bounces fetch` reads
    bounces_password: str = ""
    bounces_password_file: str = ""  # where it is, if not in bounces_password
    bounces_delete: bool = False  # IMAP; POP3 always deletes
    bounces_plain: bool = False  # without TLS, on this machine only
    bounces_every: Annotated[str, Meta(pattern=r"^[1-9]\d{0,4}[smhd]$")] = "5m"  # how often `cartwake up` has it read

    # When `cartwake up` has found out what is bought together, UTC; empty: never
    recommend_daily: Annotated[str, Meta(pattern=r"^(([01]\d|2[0-3]):[0-5]\d)?$")] = "03:00"

    # How often `cartwake up` has the checkouts of all shops looked at (docs/alarms.md); empty: never
    alarms_every: Annotated[str, Meta(pattern=r"^([1-9]\d{0,4}[smhd])?$")] = "1m"

    # What shoppers and staff reach. public_url is the collector's address as shoppers see it.
    host: str = "127.0.0.1"
    collector_port: Port = 8001
    console_port: Port = 8000
    metrics_port: Annotated[int, Meta(ge=0, le=65_000)] = 9464  # of streams; reminders and sink: +1, +2; 0: none
    console_hosts: str = ""  # names the console may be called by besides loopback, separated by commas
    console_public_url: Annotated[str, Meta(pattern=r"^(https?://[^\s/]+\S*)?$")] = ""  # for links in mails to staff
    public_url: Annotated[str, Meta(pattern=r"^(https?://[^\s/]+\S*)?$")] = ""
    secret: Annotated[str, Meta(pattern=r"^(\S.{14,}\S)?$")] = ""  # signs links; empty means one kept in data_dir
    ingest_token: str = ""  # empty means open, which is refused on an address that is not loopback

    # This machine
    data_dir: Path = Path(".cartwake")
    streams_workers: Annotated[int, Meta(ge=1, le=64)] = 1  # processes that `cartwake up` starts for stages 1 and 2
    state_memory_mb: Annotated[int, Meta(ge=0)] = 0  # of carts in memory, the rest on disk; 0: all in memory
    time: Literal["live", "event"] = "live"  # `event`: progress is what the data says (replay, demo)
    demo_idle: Annotated[str, Meta(pattern=r"^(\d+[smhd])?$")] = (
        ""  # the collector serves a demo shop with this idle time
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def bootstrap(self) -> str:
        """Where Kafka is, `host:port[,host:port…]`."""
        return self.kafka_bootstrap or f"127.0.0.1:{self.kafka_port}"

    @property
    def retention(self) -> dict[str, int]:
        """Days by table, of those that have other days than `retention_days`."""
        return {name: int(days) for name, _, days in (x.partition("=") for x in self.retention_tables.split(",") if x)}

    @property
    def collector_url(self) -> str:
        """The collector's address as shoppers and their mail programs see it, without a slash at the end."""
        return (self.public_url or f"http://127.0.0.1:{self.collector_port}").rstrip("/")

    @property
    def console_url(self) -> str:
        """The console's address on this machine, without a slash at the end."""
        return f"http://127.0.0.1:{self.console_port}"

    @property
    def staff_url(self) -> str:
        """The console's address as staff reach it, without a slash at the end."""
        return (self.console_public_url or self.console_url).rstrip("/")

    @property
    def has_relay(self) -> bool:
        """Whether mails go to a relay, and not to the local mailbox."""
        return bool(self.smtp_host or self.smtp_relays.strip())

    @property
    def mailbox_url(self) -> str:
        """The local mailbox's page."""
        return f"http://127.0.0.1:{self.mailbox_port + 7000}"

    def environment(self) -> dict[str, str]:
        """These settings as environment variables, for a child process."""
        return {_PREFIX + name.upper(): str(getattr(self, name)) for name in self.__struct_fields__}


def load(environ: Mapping[str, str] = os.environ, file: Path = Path("cartwake.toml")) -> Settings:
    """Settings from `file` (if there is one) and `environ`.

    Raises ConfigurationError, naming the setting and an example, when one is unknown or wrong.
    """
    values: dict[str, Any] = {}
    if file.exists():
        try:
            values.update(tomllib.loads(file.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            raise ConfigurationError(f"{file}: not TOML: {exc}. Example: kafka_port = 9092") from exc
    if isinstance(tables := values.get("retention_tables"), dict):
        values["retention_tables"] = ",".join(f"{name}={days}" for name, days in tables.items())
    known = Settings.__struct_fields__
    for variable, value in environ.items():
        name = variable.removeprefix(_PREFIX).lower()
        if variable.startswith(_PREFIX) and name in known:
            values[name] = value
        elif variable.startswith(_PREFIX):
            raise ConfigurationError(f"{variable} is no setting. {_nearest(name)}")
    for name in values:
        if name not in known:
            raise ConfigurationError(f"{file}: {name} is no setting. {_nearest(name)}")
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as exc:
        name = str(exc).rpartition("`$.")[2].rstrip("`")
        example = _EXAMPLES.get(name) or getattr(Settings(), name, "")
        reason = str(exc).partition(" - at")[0]
        if "matching regex" in reason:
            reason = "at least 16 characters" if name == "secret" else "not of the form that is needed"
        raise ConfigurationError(
            f"setting {name} ({_PREFIX}{name.upper()}): {reason}. Example: {_PREFIX}{name.upper()}={example}"
        ) from exc


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, Settings.__struct_fields__, n=1)
    found = near[0] if near else "kafka_bootstrap"
    return f"Did you mean {_PREFIX}{found.upper()}={_EXAMPLES.get(found) or getattr(Settings(), found)!s}?"
