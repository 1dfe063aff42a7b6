"""The mail that tells a shop's admin of an alarm, in plain words: what fell, how far, since when, where to look."""

from datetime import datetime
from typing import Final

from markupsafe import Markup

from cartwake.alarms import Alarm, words_of_reminders
from cartwake.clock import to_ms
from cartwake.model import Alert, derived_id
from cartwake.shops import Shop
from reminders.clean import line
from reminders.outbox import Mail
from reminders.render import Parts, Renderer

_SUBJECTS: Final = {"bought": "fewer carts are bought", "orders": "orders have stopped"}


def alarm_mail(alarm: Alarm, about: Alert, to: str, shop: Shop, render: Renderer, console_url: str) -> Mail:
    """The mail about the opening or the closing of an alarm; raises Unfit.

    Its Message-ID follows from the alarm and the address: a mailbox that gets it twice can tell.
    """
    title = line(shop.profile.title, 100)
    if about.type == "alert.closed":
        subject = f"Over: {title}: {_what(alarm.opening)}"
        rows = [about.words or "", f"The alarm lasted from {_when(alarm.opening)} to {_when(about)}."]
    else:
        subject = f"Alarm: {title}: {_what(about)}"
        rows = [
            f"Something is wrong with the checkout of {title} (shop {line(shop.shop_id, 100)}).",
            about.words or "",
            *([f"Also seen: {_also(about)}."] if len(about.jumps) > 1 else []),
            f"It began at about {_when(about, about.since)}.",
            "Please try to buy something yourself, as a stranger would.",
            words_of_reminders(shop.alarms),
        ]
    rows.append(f"The carts are here: {console_url}/carts")
    text = "\n\n".join(line(row, 1_000) for row in rows)
    html = Markup("<!doctype html><html lang=en><body>{}</body></html>").format(
        Markup("").join(Markup("<p>{}</p>").format(line(row, 1_000)) for row in rows)
    )
    return render.mail(
        Parts(line(subject, 150), text, str(html)), shop, key=(shop.shop_id, "alarms"), plan_id=about.record_id, to=to,
        at=to_ms(datetime.fromisoformat(about.occurred_at)), unsubscribe_url=None,
        name=f"alarm.{derived_id(about.record_id, to)}",
    )  # fmt: skip


def _what(alert: Alert) -> str:
    signal = alert.signal or ""
    return _SUBJECTS.get(signal) or f"shoppers do not get past the step {signal}"


def _also(alert: Alert) -> str:
    return "; ".join(
        f"{jump.passed} orders where {jump.of} are usual"
        if jump.signal == "orders"
        else f"{jump.signal}: {jump.passed} of {jump.of}, usual {100 * jump.usual:.0f} %"
        for jump in alert.jumps[1:]
    )


def _when(alert: Alert, said: str | None = None) -> str:
    text = said or alert.occurred_at
    return f"{text[:10]} {text[11:16]} UTC"
