"""Whether a role or a regular job is at work, for `cartwake doctor` and the health checks of containers."""

from dataclasses import dataclass
from typing import Final

from kafka.errors import CoordinatorNotAvailableError, KafkaError

from cartwake.broker import connect
from cartwake.errors import CartwakeError
from cartwake.group import answers
from cartwake.jobs import JOBS, SILENT_S, silence
from cartwake.settings import Settings

MEMBERS: Final = ("streams", "reminders", "sink")
PAGES: Final = ("collector", "console")


@dataclass(frozen=True, slots=True)
class Finding:
    """`fine` is None for what is neither right nor wrong; `way_out` says what to do about what is wrong."""

    fine: bool | None
    words: str
    way_out: str = ""


def at_work(settings: Settings, role: str) -> Finding:
    """Whether a process of this role answers, or is a member of its group in Kafka (what hangs falls out of it).

    Of a job: whether it has given a sign of life on this data folder lately.
    """
    if role in JOBS:
        return _job_at_work(settings, role)
    if role in PAGES:
        port = settings.collector_port if role == "collector" else settings.console_port
        there = answers(f"http://127.0.0.1:{port}/healthz")
        return Finding(there, f"role {role} {'answers' if there else 'does not answer'} on port {port}")
    group = settings.topic_prefix + role
    admin = None
    try:
        admin = connect(settings, say=lambda _words: None, patience=5)
        found = admin.describe_groups([group])[group]
    except CoordinatorNotAvailableError:  # no group has ever met on this Kafka
        return Finding(False, f"role {role} is not at work: there is no group {group}")
    except (CartwakeError, KafkaError) as exc:
        return Finding(False, f"role {role}: Kafka did not say: {exc}")
    finally:
        if admin is not None:
            admin.close()
    members = len(found["members"])
    if not members:
        return Finding(False, f"role {role} is not at work: group {group} has no member")
    return Finding(True, f"role {role} is at work ({members} member{'s' if members > 1 else ''})")


def _job_at_work(settings: Settings, job: str) -> Finding:
    silent = silence(settings, job)
    if silent is None:
        return Finding(False, f"job {job} is not at work here: there is no sign of it in {settings.data_dir}")
    words = f"the job {job} gave its last sign of life {silent:.0f} s ago"
    return Finding(silent < SILENT_S, words)
