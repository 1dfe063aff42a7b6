"""Settings: from a file and the environment, and errors that say which one is wrong and what would be right."""

from pathlib import Path

import pytest

from cartwake.errors import ConfigurationError
from cartwake.secret import secret_of
from cartwake.settings import Settings, load

NOWHERE = Path("there-is-no-such-file.toml")

WRONG: dict[str, str] = {
    "kafka_port": "many",
    "topic_prefix": "a b",
    "partitions": "0",
    "replication": "10",
    "clickhouse_port": "65536",
    "clickhouse_database": "1st",
    "clickhouse_cluster": "two words",
    "retention_days": "-1",
    "retention_tables": "messages=3651",
    "smtp_port": "",
    "smtp_tls": "ssl",
    "mailbox_port": "1.5",
    "collector_port": "0",
    "console_port": "eight",
    "time": "past",
    "demo_idle": "2 hours",
    "log_level": "loud",
    "bounces_every": "0m",
    "bounces_delete": "perhaps",
    "recommend_daily": "24:00",
}


def failure(environ: dict[str, str], file: Path = NOWHERE) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load(environ, file)
    return str(refused.value)


def test_defaults_are_one_machine_and_the_embedded_parts() -> None:
    settings = load({}, NOWHERE)
    assert settings == Settings()
    assert (settings.bootstrap, settings.clickhouse_dsn, settings.time) == ("127.0.0.1:9092", "", "live")


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "cartwake.toml"
    file.write_text('partitions = 8\nretention_days = 30\ndata_dir = "here"\n')
    settings = load({"CARTWAKE_PARTITIONS": "16", "HOME": "/x"}, file)
    assert (settings.partitions, settings.retention_days, settings.data_dir) == (16, 30, Path("here"))


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ('retention_tables = "messages=365,cart_events=1"', {"messages": 365, "cart_events": 1}),
        ("[retention_tables]\nmessages = 3650\norder_events = 999", {"messages": 3650, "order_events": 999}),
        ("[retention_tables]", {}),
    ],
)
def test_retention_by_table_is_a_line_or_a_table_of_the_file(
    tmp_path: Path, said: str, understood: dict[str, int]
) -> None:
    file = tmp_path / "cartwake.toml"
    file.write_text(said)
    settings = load({}, file)
    assert settings.retention == understood
    assert load(settings.environment(), NOWHERE) == settings


@pytest.mark.parametrize("days", ["0", "3651", "-1", '"long"', "1.5", "true", "{ a = 1 }"])
def test_days_of_a_table_that_make_no_sense_are_refused(tmp_path: Path, days: str) -> None:
    file = tmp_path / "cartwake.toml"
    file.write_text(f"[retention_tables]\nmessages = {days}\n")
    assert "retention_tables" in failure({}, file)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_setting_names_itself_and_an_example_that_works(name: str) -> None:
    variable = f"CARTWAKE_{name.upper()}"
    said = failure({variable: WRONG[name]})
    assert variable in said
    assert f"Example: {variable}=" in said
    example = said.rpartition(f"{variable}=")[2]
    load({variable: example}, NOWHERE)


def test_wrong_setting_of_the_file_names_itself(tmp_path: Path) -> None:
    file = tmp_path / "cartwake.toml"
    for line, name in [("partitions = 0", "partitions"), ("data_dir = 7", "data_dir"), ("host = []", "host")]:
        file.write_text(line)
        assert name in failure({}, file)


def test_unknown_setting_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    assert "Did you mean CARTWAKE_KAFKA_BOOTSTRAP=" in failure({"CARTWAKE_KAFKA_BOOTSTRAPS": "x"})
    file = tmp_path / "cartwake.toml"
    file.write_text("partition = 4")
    said = failure({}, file)
    assert "partition is no setting" in said
    assert "CARTWAKE_PARTITIONS=4" in said


@pytest.mark.parametrize("text", [b"partitions = ", b"= 4", b"\xff\xfe", b"[["])
def test_file_that_is_no_toml_is_named(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "cartwake.toml"
    file.write_bytes(text)
    assert f"{file}: not TOML" in failure({}, file)


SECRET = "hunter2-hunter2"


def test_no_error_tells_a_secret(tmp_path: Path) -> None:
    names = ("CARTWAKE_SMTP_PASSWORD", "CARTWAKE_BOUNCES_PASSWORD", "CARTWAKE_SECRET", "CARTWAKE_INGEST_TOKEN")
    secrets = dict.fromkeys(names, SECRET)
    secrets |= {"CARTWAKE_CLICKHOUSE_DSN": f"clickhouse://u:{SECRET}@h/db"}
    for name, value in WRONG.items():
        assert SECRET not in failure(secrets | {f"CARTWAKE_{name.upper()}": value})
    assert SECRET not in failure({"CARTWAKE_SMTP_PASWORD": SECRET})
    file = tmp_path / "cartwake.toml"
    for text in (f'smtp_password = ["{SECRET}"]', f'smtp_password = "{SECRET}', f'smtp_pasword = "{SECRET}"'):
        file.write_text(text)
        assert SECRET not in failure({}, file)
    for name in ("CARTWAKE_PARTITIONS", "CARTWAKE_TOPIC_PREFIX"):
        assert SECRET not in failure({name: f"{SECRET} in the wrong place"})


def test_child_gets_the_same_settings() -> None:
    settings = Settings(partitions=8, smtp_password=SECRET, data_dir=Path("d"), time="event")
    assert load(settings.environment(), NOWHERE) == settings


def test_secret_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    made = secret_of(settings)
    assert len(made) > 30
    assert secret_of(settings) == made
    assert (tmp_path / "data" / "secret").stat().st_mode & 0o777 == 0o600
    assert secret_of(Settings(secret=SECRET, data_dir=tmp_path)) == SECRET
