"""The ways to reach a person. A new one has a file here, and a line in `of`."""

from collections.abc import Callable

from cartwake.secret import secret_of
from cartwake.settings import Settings
from reminders.bounces import verp
from reminders.channels.email import EmailChannel, Limits
from reminders.channels.push import PushChannel
from reminders.channels.relays import relays_of
from reminders.channels.sms import sms
from reminders.dkim import Signer
from reminders.dkim import keys_of as dkim_keys_of
from reminders.links import Links
from reminders.outbox import Medium
from reminders.person import Key
from reminders.push.keys import keys_of
from reminders.push.message import PushRenderer
from reminders.render import Renderer
from reminders.sms.callbacks import Callbacks


def of(settings: Settings, links: Links, callbacks: Callbacks, email: EmailChannel) -> dict[str, Medium]:
    """Every channel that is set up, by its name; raises ConfigurationError."""
    media: dict[str, Medium] = {"email": Medium(renderer(settings, links), email)}
    push = PushChannel(keys_of(settings), anywhere=settings.push_endpoints == "any")
    pushes = PushRenderer(links=links)
    media["push"] = Medium(pushes, push, pushes.replacement)
    if settings.sms_preset != "none":
        media["sms"] = sms(settings, links, callbacks)
    return media


def renderer(settings: Settings, links: Links) -> Renderer:
    """What makes mails as the settings say; raises ConfigurationError."""
    return Renderer(links=links, mail_from=settings.mail_from, return_path=_return_path(settings), told=_told(settings))


def email(settings: Settings) -> EmailChannel:
    """E-mail over the relays of the settings; raises ConfigurationError."""
    limits = Limits(
        connections=settings.smtp_connections,
        messages=settings.smtp_messages,
        rate=settings.smtp_rate,
        host_connections=settings.smtp_host_connections,
        host_rate=settings.smtp_host_rate,
    )
    return EmailChannel(*relays_of(settings), limits=limits, sign=Signer(dkim_keys_of(settings.dkim_keys)))


def _return_path(settings: Settings) -> Callable[[Key, str], str] | None:
    """The envelope's sender that names whose mail came back; raises ConfigurationError where no token fits."""
    mailbox = settings.bounce_address
    if not mailbox:
        return None
    verp.check_mailbox(mailbox)
    signer = verp.Secret(secret_of(settings))
    return lambda key, plan_id: verp.sender(mailbox, verp.make_token(signer, key, plan_id))


def _told(settings: Settings) -> Callable[[Key, str], tuple[str, str]] | None:
    """The header by which SendGrid or Postmark, where its webhook is set up, learns whose mail it was."""
    provider = "sendgrid" if settings.sendgrid_key else "postmark" if settings.postmark_credentials else None
    if provider is None:
        return None
    signer = verp.Secret(secret_of(settings))
    return lambda key, plan_id: verp.provider_header(provider, verp.make_token(signer, key, plan_id))
