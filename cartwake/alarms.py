"""The life of an alarm: opened when a shop's checkout falls, closed when it is back, each once. Pure.

A shop has at most one alarm at a time: what breaks is seen in several places, and is one problem. What was seen during
an alarm is no evidence for the next one. Alarms of a shop are numbered and ids follow from the number, so whoever
decides the same again after a crash says the same record again.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from cartwake.clock import rfc3339
from cartwake.flow import BOUGHT, DEMANDS, ORDERS, Look, Sensitivity
from cartwake.model import Alert, Jump, derived_id

NAME: Final = "alarms"
#: Reminders wait no longer than this for an alarm to be over: one that nobody looks at must not silence a shop.
LONGEST_PAUSE_MS: Final = timedelta(hours=24) // timedelta(milliseconds=1)
SILENT_MS: Final = timedelta(hours=24) // timedelta(milliseconds=1)
LEAST_BACK: Final = 10  # checkouts that must show that it is over
_BACK_MINUTES: Final = 20
_KEPT: Final = 100  # alarms of a shop that are remembered

#: An address that can be written to as it stands; the relay says the rest.
_ADDRESS: Final = r"^[!#-'*+\-./0-9=?A-Z^_`a-z{|}~]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+\Z"
Admin = Annotated[str, Meta(max_length=254, pattern=_ADDRESS)]


class AlarmRules(Struct, frozen=True, forbid_unknown_fields=True):
    """`alarms`: whether a shop's checkout is watched, how closely, who is told, and whether reminders wait."""

    enabled: bool = True
    sensitivity: Sensitivity = "normal"
    admins: Annotated[tuple[Admin, ...], Meta(max_length=20)] = ()
    pause_reminders: bool = False


class Alarm(Struct, frozen=True, kw_only=True):
    """One alarm as the records on `alerts` tell it; times are epoch milliseconds."""

    shop_id: str
    number: int
    alert_id: str
    opened_at: int
    jumps: tuple[Jump, ...]
    opening: Alert
    closing: Alert | None = None
    closed_at: int | None = None
    mailed: frozenset[tuple[str, str]] = frozenset()  # (type of the record that was mailed, address)

    @property
    def open(self) -> bool:
        """Whether it is not over yet."""
        return self.closed_at is None


class Alarms:
    """All alarms of all shops, folded from the topic `alerts`. What is said twice counts once."""

    def __init__(self) -> None:
        self._shops: dict[str, tuple[Alarm, ...]] = {}

    def apply(self, alert: Alert, at: int) -> None:
        """Take in one record; `at` is its `occurred_at`."""
        known = {alarm.number: alarm for alarm in self._shops.get(alert.shop_id, ())}
        alarm = known.get(alert.number)
        if alert.type == "alert.opened":
            if alarm is None:
                known[alert.number] = Alarm(
                    shop_id=alert.shop_id, number=alert.number, alert_id=alert.alert_id, opened_at=at,
                    jumps=alert.jumps, opening=alert,
                )  # fmt: skip
        elif alarm is not None:
            if alert.type == "alert.closed" and alarm.closed_at is None:
                known[alert.number] = replace(alarm, closing=alert, closed_at=at)
            elif alert.about is not None and alert.to is not None:
                known[alert.number] = replace(alarm, mailed=alarm.mailed | {(alert.about, alert.to)})
        self._shops[alert.shop_id] = tuple(known[number] for number in sorted(known))[-_KEPT:]

    def last(self, shop_id: str) -> Alarm | None:
        """The newest alarm of a shop, open or not."""
        alarms = self._shops.get(shop_id)
        return alarms[-1] if alarms else None

    def pauses(self, shop_id: str, now: int) -> bool:
        """Whether an alarm of the shop is open, and has not been for so long that reminders go out all the same."""
        alarm = self.last(shop_id)
        return alarm is not None and alarm.open and now < alarm.opened_at + LONGEST_PAUSE_MS

    def __iter__(self) -> Iterator[Alarm]:
        return (alarm for alarms in list(self._shops.values()) for alarm in alarms)


def decide(last: Alarm | None, looks: Sequence[Look], rules: AlarmRules, *, shop_id: str, now: int, idle: int) -> (
    Alert | None
):  # fmt: skip
    """What is to be said of a shop now: that an alarm opens or that it is over, or nothing."""
    if last is not None and last.open:
        reason = _over(last, looks, rules, now)
        return None if reason is None else _closed(last, reason, now)
    if not rules.enabled:
        return None
    after = -1 if last is None or last.closed_at is None else last.closed_at
    fallen: dict[str, Look] = {}
    for look in looks:
        began = look.start - (idle if look.signal == BOUGHT else 0)
        better = fallen.get(look.signal)
        if began >= after and look.fell(DEMANDS[rules.sensitivity]) and (better is None or look.start > better.start):
            fallen[look.signal] = look
    if not fallen:
        return None
    found = sorted(fallen.values(), key=lambda look: (look.share / (look.usual or 1.0), -look.start))
    return _opened(shop_id, 1 if last is None else last.number + 1, found, now)


def to_mail(alarm: Alarm, rules: AlarmRules, now: int) -> Iterator[tuple[Alert, str]]:
    """Records of an alarm that somebody is still to be told of by mail, each with the address."""
    if now > alarm.opened_at + LONGEST_PAUSE_MS and alarm.open:
        return
    for to in rules.admins:
        told = (alarm.opening.type, to) in alarm.mailed
        if alarm.closing is None:
            if not told:
                yield alarm.opening, to
        elif told and (alarm.closing.type, to) not in alarm.mailed and now <= (alarm.closed_at or 0) + SILENT_MS:
            yield alarm.closing, to


def mailed(about: Alert, to: str, *, sent: bool, words: str, now: int) -> Alert:
    """The record that says what became of a mail."""
    kind: Literal["alert.mailed", "alert.mail_failed"] = "alert.mailed" if sent else "alert.mail_failed"
    return Alert(
        record_id=derived_id(about.record_id, kind, to),
        type=kind,
        alert_id=about.alert_id,
        shop_id=about.shop_id,
        number=about.number,
        occurred_at=rfc3339(now),
        signal=about.signal,
        about=about.type,
        to=to,
        words=words,
    )


# -- opening and closing -------------------------------------------------------------------------------------------
def _opened(shop_id: str, number: int, looks: Sequence[Look], now: int) -> Alert:
    alert_id = derived_id("alert", shop_id, number)
    return Alert(
        record_id=derived_id(alert_id, "alert.opened"),
        type="alert.opened",
        alert_id=alert_id,
        shop_id=shop_id,
        number=number,
        occurred_at=rfc3339(now),
        signal=looks[0].signal,
        since=rfc3339(min(look.start for look in looks[:1])),
        jumps=tuple(_jump(look) for look in looks),
        words=words_of(looks[0]),
    )


def _jump(look: Look) -> Jump:
    of, passed = look.now
    return Jump(
        signal=look.signal, minutes=look.minutes, of=round(look.usual or 0) if look.signal == ORDERS else of,
        passed=passed, share=round(look.share, 4), usual=round(look.usual or 0.0, 4),
    )  # fmt: skip


_BACK_WORDS: Final[Mapping[str, str]] = {
    "back": "It is back to normal.",
    "no_data": "Nothing was heard for a day that could show whether it is back to normal.",
    "disabled": "Alarms were switched off for this shop.",
}


def _closed(last: Alarm, reason: str, now: int) -> Alert:
    return Alert(
        record_id=derived_id(last.alert_id, "alert.closed"),
        type="alert.closed",
        alert_id=last.alert_id,
        shop_id=last.shop_id,
        number=last.number,
        occurred_at=rfc3339(now),
        signal=last.opening.signal,
        since=last.opening.since,
        reason=reason,
        words=_BACK_WORDS[reason],
    )


def _over(last: Alarm, looks: Sequence[Look], rules: AlarmRules, now: int) -> str | None:
    """Why the alarm is over, or None while it is not."""
    if not rules.enabled:
        return "disabled"
    known = [_back(jump, [look for look in looks if look.signal == jump.signal]) for jump in last.jumps]
    if any(back is False for back in known):
        return None
    if any(back is True for back in known):
        return "back"
    return "no_data" if now >= last.opened_at + SILENT_MS else None


def _back(jump: Jump, looks: Sequence[Look]) -> bool | None:
    """Whether a signal is nearer to normal than to how it was when the alarm opened; None when nothing shows it."""
    if jump.signal == ORDERS:
        same = [look for look in looks if look.minutes == jump.minutes]
        if not same or not same[0].now[1]:
            return False if same and same[0].least else None
        return same[0].share >= (1 + jump.share) / 2
    telling = [look for look in looks if look.minutes >= _BACK_MINUTES and look.now[0] >= LEAST_BACK]
    if not telling:
        return None
    look = max(telling, key=lambda each: (each.start, -each.within))
    shortly = [x for x in looks if x.minutes < _BACK_MINUTES and x.now[0] >= LEAST_BACK // 2]
    usual = look.usual or jump.usual  # at the pace it was counted at
    middle = (1 + jump.share / jump.usual) / 2 if jump.usual else 1.0
    return all(x.share >= (x.usual or usual) * middle for x in (look, *shortly))


# -- words ---------------------------------------------------------------------------------------------------------
def words_of(look: Look) -> str:
    """What has fallen and how far, as a sentence for the staff."""
    of, passed = look.now
    window = f"from {_clock(look.start)} to {_clock(look.until)} UTC"
    usual = look.usual or 0.0
    if look.signal == ORDERS:
        return f"{_count(passed, 'order')} came {window}; about {usual:.0f} are usual at this time."
    if look.signal == BOUGHT:
        return (
            f"Of {of} carts last used {window}, {passed} were bought ({_percent(passed / of)}); "
            f"{_percent(usual)} are usual at this time."
        )
    minutes = look.within // 60_000
    return (
        f"Of {of} shoppers who reached the step {look.signal} {window}, {passed} went on within {minutes} minutes "
        f"({_percent(passed / of)}); {_percent(usual)} are usual at this time."
    )


def words_of_reminders(rules: AlarmRules) -> str:
    """What becomes of reminders while an alarm is open, as a sentence for the staff."""
    if rules.pause_reminders:
        return "Reminders wait until it is over, for 24 hours at most."
    return "Reminders go out as usual (pause_reminders is off)."


def _clock(at: int) -> str:
    return rfc3339(at)[11:16]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _count(n: int, one: str) -> str:
    return {0: f"No {one}", 1: f"One {one}"}.get(n, f"{n} {one}s")
