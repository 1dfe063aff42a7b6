"""The ways to reach a person. A new one has a file here, and a line in `of`."""

from cartwake.settings import Settings
from reminders.channels.email import EmailChannel, Relay
from reminders.channels.sms import sms
from reminders.links import Links
from reminders.outbox import Medium
from reminders.render import Renderer
from reminders.sms.callbacks import Callbacks


def of(settings: Settings, links: Links, callbacks: Callbacks) -> dict[str, Medium]:
    """Every channel that is set up, by its name."""
    relay = Relay(
        settings.smtp_host or "127.0.0.1",
        settings.smtp_port if settings.smtp_host else settings.mailbox_port,
        settings.smtp_user,
        settings.smtp_password,
        settings.smtp_tls if settings.smtp_host else "none",
    )
    media = {"email": Medium(Renderer(links=links, mail_from=settings.mail_from), EmailChannel(relay))}
    if settings.sms_preset != "none":
        media["sms"] = sms(settings, links, callbacks)
    return media
