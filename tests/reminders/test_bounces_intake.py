"""What a mail that came back says of a person: by token only, once, and not before Kafka has it."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cartwake.clock import FakeClock
from cartwake.commands.bounces import TRY_AGAIN, command
from cartwake.errors import KafkaUnavailable
from cartwake.model import derived_id, encode, person_id
from cartwake.topics import MESSAGES, SUBSCRIBER_EVENTS
from reminders.bounces.intake import Feedback, Intake
from reminders.bounces.parse import Verdict
from reminders.bounces.record import OLDEST_MS, plausible, written_at
from reminders.bounces.verp import Secret, make_token, sender
from reminders.fold import fold
from reminders.gates import silence
from reminders.person import Person
from tests.reminders.returned import (
    ORIGINAL,
    PERSON,
    PLAN,
    RETURN_PATH,
    SIGNER,
    TOKEN,
    Written,
    complaint,
    intake,
    mail,
    report,
)
from tests.reminders.world import T0

FULL = {"status": "5.2.2", "answer": "552 5.2.2 Mailbox full"}


def take(raw: bytes, written: Written | None = None, **changes: Any) -> tuple[str, Written]:
    written = written or Written()
    recipients = changes.pop("recipients", ())
    return intake(written, **changes).take_mail(raw, way="pipe", recipients=recipients), written


def other_token(secret: str = "another secret", shop: str = "main") -> str:
    return make_token(Secret(secret), (shop, PERSON), PLAN)


# -- what is said ------------------------------------------------------------------------------------------------
def test_a_hard_bounce_is_said_of_the_person_and_of_the_message() -> None:
    kind, written = take(report())
    (event,), (message,) = written.events, written.messages
    assert kind == "hard"
    assert [(topic, key) for topic, key, _ in written.records] == [(SUBSCRIBER_EVENTS, PERSON), (MESSAGES, PERSON)]
    assert (event.type, event.shop_id, event.subscriber_id, event.channels) == (
        "subscriber.bounced", "main", PERSON, ("email",),
    )  # fmt: skip
    assert event.reason == "hard: 550 5.1.1 <ana@example.com>: Recipient address rejected: User unknown"
    assert (message.type, message.plan_id, message.channel, message.reason) == (
        "message.bounced", PLAN, "email", "hard",
    )  # fmt: skip
    assert message.words == event.reason.removeprefix("hard: ")
    assert event.event_id == derived_id(PLAN, "bounced"), "the id stage 3 gives a recipient refused at once"


def test_the_code_is_told_where_the_words_lack_it() -> None:
    assert take(report("5.1.1", "550 no such user"))[1].events[0].reason == "hard: 5.1.1 550 no such user"


def test_a_soft_bounce_says_so() -> None:
    kind, written = take(report(**FULL))
    assert (kind, written.said, written.messages[0].reason) == ("soft", ["bounced:soft"], "soft")


def test_a_complaint_is_said_of_the_person_and_of_the_message() -> None:
    kind, written = take(complaint())
    assert (kind, written.events[0].type, written.messages[0].type) == (
        "complaint", "subscriber.complained", "message.complained",
    )  # fmt: skip


def test_a_wish_for_no_more_mail_is_a_withdrawal() -> None:
    kind, written = take(complaint("opt-out"))
    assert (kind, [x.type for x in written.events], written.messages) == ("opt-out", ["subscriber.withdrawn"], [])


@pytest.mark.parametrize(
    "raw",
    [
        complaint("auth-failure"), complaint("not-spam"), report(action="delayed"),
        mail("I am away", "Auto-Submitted: auto-replied"), mail("Hello"), b"",
    ],
)  # fmt: skip
def test_what_is_neither_says_nothing(raw: bytes) -> None:
    kind, written = take(raw)
    assert kind in ("auth-failure", "auto-reply", "none")
    assert written.records == []


def test_stage_3_silences_after_a_hard_bounce_and_a_complaint_and_not_after_a_soft_one() -> None:
    for raw, reason in ((report(), "bounced"), (complaint(), "complained"), (report(**FULL), None)):
        person = Person()
        for event in take(raw)[1].events:
            person = fold(person, event)
        assert silence(person, "email") == reason


# -- who is meant ------------------------------------------------------------------------------------------------
def test_a_bounce_without_a_token_is_counted_and_says_nothing_whatever_addresses_it_names() -> None:
    kind, written = take(report(to="bounces@example.com"))
    assert (kind, written.records) == ("unnamed", [])


@pytest.mark.parametrize(
    "token", [other_token(), TOKEN[:-2] + "aa", "a" * 56, make_token(SIGNER, ("berlin", PERSON), PLAN)]
)
def test_a_forged_or_foreign_token_is_counted_and_silences_nobody(token: str) -> None:
    for raw in (
        report(to=sender("bounces@example.com", token)),
        complaint(original=ORIGINAL.replace(TOKEN, token)),
    ):
        kind, written = take(raw)
        assert (kind, written.records) == ("foreign", [])


def test_a_token_in_the_text_or_in_the_mail_a_bounce_returns_names_nobody() -> None:
    kind, written = take(report(to="bounces@example.com", notice=f"<{RETURN_PATH}>: unknown"))
    assert (kind, written.records) == ("unnamed", [])


def test_the_recipient_the_server_tells_comes_before_what_the_mail_says() -> None:
    eve = person_id("eve@example.com")
    hers = make_token(SIGNER, ("main", eve), PLAN)
    _, written = take(report(), recipients=(sender("bounces@example.com", hers),))
    assert {key for _, key, _ in written.records} == {eve}


def test_a_forged_token_before_a_right_one_hides_nothing() -> None:
    forged = sender("bounces@example.com", other_token())
    _, written = take(f"Delivered-To: {forged}\r\n".encode() + report())
    assert written.said == ["bounced:hard"]


def test_a_thousand_tokens_are_not_all_tried() -> None:
    forged = ", ".join(sender("bounces@example.com", other_token(str(n))) for n in range(40))
    asked: list[str] = []

    def shops() -> list[str]:
        asked.append("")
        return []

    taken = Intake(SIGNER, Written(), shops)
    assert taken.take_mail(f"X-Original-To: {forged}\r\n".encode() + report(), way="pipe") == "foreign"
    assert len(asked) == 20


def test_the_token_of_another_shop_is_read_when_the_shop_is_known() -> None:
    key = ("berlin", PERSON)
    raw = report(to=sender("bounces@example.com", make_token(SIGNER, key, PLAN)))
    kind, written = take(raw, shops=("hamburg", "berlin"))
    assert (kind, written.events[0].shop_id, written.messages[0].shop_id) == ("hard", "berlin", "berlin")


# -- once --------------------------------------------------------------------------------------------------------
def test_the_same_mail_twice_says_the_same_with_the_same_ids() -> None:
    written = Written()
    for _ in range(2):
        take(report(), written)
        take(complaint(), written)
    values = [value for _, _, value in written.records]
    assert values[:4] == values[4:]


def test_a_server_that_reports_one_mail_again_and_again_counts_as_one_soft_bounce() -> None:
    written = Written()
    for hour in range(3):
        take(report(**FULL).replace(b"10:00:00", b"0%d:00:00" % hour), written)
    assert len({event.event_id for event in written.events}) == 1


def test_a_soft_and_then_a_hard_bounce_of_one_mail_are_two() -> None:
    written = take(report(**FULL))[1]
    take(report(), written)
    assert written.said == ["bounced:soft", "bounced:hard"]
    assert len({event.event_id for event in written.events}) == len({m.message_id for m in written.messages}) == 2


# -- when --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("date", "at"),
    [
        ("Mon, 23 Nov 2026 10:00:00 +0000", T0 - 15 * 60_000),
        ("Mon, 23 Nov 2026 11:15:00 +0100", T0),
        ("Mon, 23 Nov 2026 10:15:01 +0000", T0),
        ("Thu, 29 Apr 1999 10:00:00 +0000", T0),
        ("", T0), ("yesterday", T0), ("Mon, 99 Nov 99999 99:99:99 +9999", T0), ("\0" * 1000, T0),
        ("Mon, 23 Nov 2026 10:00:00 -999999999999", T0),
    ],
)  # fmt: skip
def test_a_report_may_tell_its_time_within_reason(date: str, at: int) -> None:
    assert written_at(date, T0) == at


@pytest.mark.parametrize(
    ("at", "kept"), [(T0 - OLDEST_MS - 1, False), (T0 - OLDEST_MS, True), (T0, True), (T0 + 1, False)]
)
def test_a_time_counts_within_thirty_days(at: int, kept: bool) -> None:
    assert plausible(at, T0) == (at if kept else T0)


@given(st.text(max_size=60))
def test_any_date_is_read(date: str) -> None:
    assert T0 - OLDEST_MS <= written_at(date, T0) <= T0


# -- Kafka -------------------------------------------------------------------------------------------------------
def test_nothing_counts_as_taken_in_while_kafka_is_away_or_silent() -> None:
    for state in ("away", "silent"):
        written = Written()
        setattr(written, state, True)
        taken = intake(written)
        with pytest.raises(KafkaUnavailable):
            taken.take_mail(report(), way="pipe")
        assert (
            taken.returns.registry.get_sample_value("cartwake_mail_returns_total", {"way": "pipe", "kind": "hard"})
            is None
        )


def test_a_record_that_kafka_refuses_is_no_success() -> None:
    class Refusing(Written):
        def poll(self, timeout: float = 0) -> None:
            while self._waiting:
                self._waiting.pop()("too large")

    with pytest.raises(KafkaUnavailable, match="too large"):
        intake(Refusing()).take_mail(report(), way="pipe")


def test_what_came_is_counted_by_its_way_and_kind() -> None:
    taken = intake(Written())
    for raw in (report(), report(), complaint(), report(to="x@example.com")):
        taken.take_mail(raw, way="imap")
    counted = {
        kind: taken.returns.registry.get_sample_value("cartwake_mail_returns_total", {"way": "imap", "kind": kind})
        for kind in ("hard", "complaint", "unnamed")
    }
    assert counted == {"hard": 2, "complaint": 1, "unnamed": 1}


def test_a_batch_is_taken_in_as_a_whole() -> None:
    written = Written()
    heard = [
        Feedback(Verdict("hard", "x"), (TOKEN,), T0),
        Feedback(Verdict("soft", "x"), ("nobody",), T0),
        Feedback(Verdict("none", "x"), (TOKEN,), T0),
    ]
    assert intake(written, clock=FakeClock(T0)).take(heard, way="sendgrid") == ["hard", "unnamed", "none"]
    assert len(written.records) == 2


# -- the command line --------------------------------------------------------------------------------------------
AWAY = {"CARTWAKE_KAFKA_BOOTSTRAP": "127.0.0.1:1", "CARTWAKE_SECRET": "secret of the tests"}


def test_the_pipe_asks_the_server_to_try_again_while_kafka_is_away() -> None:
    said = CliRunner().invoke(command, ["pipe", "--patience", "0.1"], input=report(), env=AWAY)
    assert said.exit_code == TRY_AGAIN == 75
    assert "Kafka did not take every record" in said.stderr
    assert "secret" not in said.output


def test_the_pipe_never_has_a_mail_returned_that_says_nothing() -> None:
    for raw in (b"", b"\0" * 3_000_000, mail("Hello"), report(to="stranger@example.com"), complaint("auth-failure")):
        said = CliRunner().invoke(command, ["pipe", "--patience", "0.1"], input=raw, env=AWAY)
        assert (said.exit_code, said.stderr) == (0, "")


def test_the_pipe_keeps_the_mail_when_a_setting_is_wrong() -> None:
    said = CliRunner().invoke(command, ["pipe"], input=report(), env={"CARTWAKE_NO_SUCH": "x"})
    assert said.exit_code == 75
    assert "CARTWAKE_NO_SUCH is no setting" in said.stderr


def test_the_pipe_makes_no_secret_of_its_own_with_which_every_token_would_be_foreign(tmp_path: Path) -> None:
    env = {"CARTWAKE_KAFKA_BOOTSTRAP": "127.0.0.1:1", "CARTWAKE_DATA_DIR": str(tmp_path / "data")}
    said = CliRunner().invoke(command, ["pipe"], input=report(), env=env)
    assert said.exit_code == 75
    assert "CARTWAKE_SECRET" in said.stderr
    assert not (tmp_path / "data").exists()


def test_check_tells_what_each_mail_is_taken_for_and_where_others_differ(tmp_path: Path) -> None:
    for name, raw in (("a.eml", report()), ("b.eml", complaint("auth-failure")), ("c.eml", report(**FULL))):
        (tmp_path / name).write_bytes(raw)
    expected = tmp_path / "expected.json"
    right = [("a.eml", "hard"), ("b.eml", "complaint-auth-failure"), ("c.eml", "soft")]
    for wanted, status, words in (
        (right, 0, "3 mails, 0 differ from what was expected, 0 missing"),
        ([*right[:2], ("c.eml", "hard")], 1, "3 mails, 1 differ from what was expected, 0 missing"),
        ([*right, ("d.eml", "hard")], 1, "3 mails, 0 differ from what was expected, 1 missing"),
    ):
        expected.write_bytes(encode([{"file": name, "expected_class": kind} for name, kind in wanted]))
        said = CliRunner().invoke(command, ["check", str(tmp_path), "--expected", str(expected)])
        assert (said.exit_code, said.stderr.strip()) == (status, words)
        assert said.stdout.splitlines()[0].split()[:3] == ["a.eml", "hard", "5.1.1"]
    assert CliRunner().invoke(command, ["check", str(tmp_path)]).exit_code == 0


def test_check_says_what_a_file_of_expectations_looks_like(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text("[1]")
    said = CliRunner().invoke(command, ["check", str(tmp_path), "--expected", str(tmp_path / "e.json")])
    assert 'Example: [{"file": "a.eml"' in str(said.exception)
