"""Every address of reminders that the collector serves: links of messages, and what comes back from servers."""

from prometheus_client import CollectorRegistry
from starlette.routing import BaseRoute

from cartwake.cart import CartReader
from cartwake.publish import Publisher
from cartwake.secret import secret_of
from cartwake.settings import Settings
from cartwake.shops import Shops
from reminders import recovery, tracking
from reminders.bounces import webhooks as mail
from reminders.bounces.intake import Returns
from reminders.bounces.verp import Secret
from reminders.links import Links
from reminders.push import routes as push
from reminders.push.keys import keys_of
from reminders.push.tokens import Tokens
from reminders.sms import webhooks as sms
from reminders.sms.callbacks import Callbacks


def routes(
    settings: Settings, publisher: Publisher, shops: Shops, carts: CartReader
) -> tuple[list[BaseRoute], list[CollectorRegistry]]:
    """The routes, and the figures of what comes back; `carts` knows what is in a cart now."""
    secret = secret_of(settings)
    links = Links(settings.collector_url, secret)
    found: list[BaseRoute] = [
        *tracking.routes(links, publisher, shops),
        *recovery.routes(links, publisher, shops, carts=carts, opens=lambda shop: shop.profile.opens),
    ]
    found += push.routes(
        base=settings.collector_url, keys=keys_of(settings), tokens=Tokens(secret), ingest_token=settings.ingest_token,
        publisher=publisher, shops=shops, anywhere=settings.push_endpoints == "any",
    )  # fmt: skip
    returns = Returns()
    secrets = mail.Secrets(
        frozenset(arn for part in settings.ses_topics.split(",") if (arn := part.strip())),
        settings.sendgrid_key,
        settings.postmark_credentials,
    )
    found += mail.routes(Secret(secret), publisher, shops, secrets, returns=returns)
    if settings.sms_preset == "twilio":
        found += sms.routes(Callbacks(settings.collector_url, secret), publisher, shops, settings.sms_secret)
    return found, [returns.registry]
