"""The whole flow, top to bottom. To see what a stage decides, open the file its import names.

 shop ─▶ cart-events ─▶ [carts] ─▶ cart-outcomes ─▶ [identity] ─▶ subscriber-carts ─▶ [reminders] ─▶ messages ─▶ mail
                               device-events ──────────▲       subscriber-events ────────▲
                               order-events ─▶ [orders] ───────────────▲

`ingest/` writes what a shop sends, `sinks/` puts every topic into ClickHouse, `console/` shows it to the staff.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cartwake import topics
from cartwake.alarms import Alarms
from cartwake.broker import Say, ensure_topics
from cartwake.secret import secret_of
from cartwake.settings import Settings
from cartwake.shops import Shops
from cartwake.stage import Context
from reminders import channels, person
from reminders.channels.meters import MailMeters
from reminders.links import Links
from reminders.offers import Offers
from reminders.sms.callbacks import Callbacks
from reminders.subscribers import Reminders
from streams import cart_stage, carts, identity, identity_stage, orders
from streams.runtime import App, Config, Stage

CARTS, IDENTITY, ORDERS, REMINDERS = "carts", "identity", "orders", "reminders"


def streams(settings: Settings, shops: Shops, *, say: Say = print) -> App:
    """Stages 1 and 2: carts that were left, and whose they are."""
    return app(settings, "streams", [left(shops), recognised(), purchased()], say)


def left(shops: Shops) -> Stage[cart_stage.Key, carts.Cart]:
    """Stage 1: carts that nobody touched."""
    return Stage[cart_stage.Key, carts.Cart](
        CARTS,
        inputs=(topics.CART_EVENTS.name,),
        outputs=(topics.CART_OUTCOMES.name,),
        key=cart_stage.Key,
        state=carts.Cart,
        task=lambda context: cart_stage.CartStage(context, shops),
        fed=(topics.CART_EVENTS.name,),
    )


def recognised() -> Stage[identity_stage.Key, identity.Device]:
    """Stage 2: whose cart it was."""
    return Stage[identity_stage.Key, identity.Device](
        IDENTITY,
        inputs=(topics.CART_OUTCOMES.name, topics.DEVICE_EVENTS.name),
        outputs=(topics.SUBSCRIBER_CARTS.name,),
        key=identity_stage.Key,
        state=identity.Device,
        task=identity_stage.IdentityStage,
        upstream={topics.CART_OUTCOMES.name: {CARTS: topics.CART_EVENTS.name}},
        fed=(topics.DEVICE_EVENTS.name,),
    )


def purchased() -> Stage[str, None]:
    """Orders of known people become purchases."""
    return Stage[str, None](
        ORDERS,
        inputs=(topics.ORDER_EVENTS.name,),
        outputs=(topics.SUBSCRIBER_EVENTS.name,),
        key=str,
        state=None,
        task=orders.OrderStage,
        fed=(topics.ORDER_EVENTS.name,),
    )


def reminders(settings: Settings, shops: Shops, *, alarms: Alarms | None = None, say: Say = print) -> App:
    """Stage 3: the right message, once, to someone who wants it. Messages wait for `alarms` where a shop says so."""
    links = Links(settings.collector_url, secret_of(settings))
    callbacks = Callbacks(settings.collector_url, secret_of(settings))
    offers = Offers(secret_of(settings))
    mails = channels.email(settings)
    media = channels.of(settings, links, callbacks, mails)
    stage = written(
        lambda context: Reminders(
            context, shops=shops, media=media, links=links, number_id=callbacks.number_id, offers=offers, alarms=alarms
        )
    )
    made = app(settings, "reminders", [stage], say)
    made.metrics.registry.register(MailMeters(mails))
    return made


def written(task: Callable[[Context[person.Key, person.State]], Reminders]) -> Stage[person.Key, person.State]:
    """Stage 3, whatever its messages are sent with."""
    return Stage[person.Key, person.State](
        REMINDERS,
        inputs=(topics.SUBSCRIBER_CARTS.name, topics.SUBSCRIBER_EVENTS.name, topics.OFFER_CODES.name),
        outputs=(topics.MESSAGES.name,),
        key=person.Key,
        state=person.State,
        task=task,
        upstream={
            topics.SUBSCRIBER_CARTS.name: {IDENTITY: topics.CART_OUTCOMES.name},
            topics.SUBSCRIBER_EVENTS.name: {ORDERS: topics.ORDER_EVENTS.name},
        },
        fed=(topics.SUBSCRIBER_EVENTS.name, topics.OFFER_CODES.name),
        in_use=250,  # people wait for days, and unpacked one weighs some 4 KB
    )


def app(settings: Settings, role: str, stages: list[Stage[Any, Any]], say: Say) -> App:
    """An app of these stages, as one consumer group."""
    group = f"{settings.topic_prefix}{role}"
    changelogs = {f"{group}-{stage.name}-changelog": stage.inputs[0] for stage in stages}
    partitions_of = ensure_topics(settings, changelogs, say=say)
    config = Config(
        group=group,
        bootstrap=settings.bootstrap,
        prefix=settings.topic_prefix,
        data_dir=Path(settings.data_dir) / "faust" / role,
        partitions_of=partitions_of,
        dead_letters=topics.DEAD_LETTERS.name,
        max_bytes=topics.DEAD_LETTER_BYTES,
        partitioner=topics.partition_of,
        forwarded_header=topics.FORWARDED,
        watermark_header=topics.WATERMARK,
        event_time=settings.time == "event",
        effect_interval=0.03 if role == "reminders" else None,  # a message leaves when the state says so
        state_memory=settings.state_memory_mb * 1024 * 1024 // max(partitions_of.values()),
    )
    return App(config, stages)
