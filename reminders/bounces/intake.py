"""A mail or an event of a provider, from the moment it is at hand until Kafka has what it says."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter

from cartwake.clock import Clock, SystemClock
from cartwake.errors import InvalidEvent
from cartwake.model import DEFAULT_SHOP
from reminders.bounces.mail import read
from reminders.bounces.parse import Verdict, addresses, classify
from reminders.bounces.record import EFFECTS, Record, Records, plausible, records, write, written_at
from reminders.bounces.verp import Named, Signer, read_token, tokens_in

MOST_TOKENS: Final = 20
#: Counted instead of the kind: nothing that looks like a token; only tokens that are not ours.
UNNAMED: Final = "unnamed"
FOREIGN: Final = "foreign"


class Feedback(NamedTuple):
    """What a provider says of one mail: `places` are texts a token may stand in, `at` is epoch milliseconds."""

    verdict: Verdict
    places: tuple[str, ...]
    at: int


class Returns:
    """The figures: what came back, by the way it came and what it meant."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._counter = Counter(
            "cartwake_mail_returns", "Bounces, complaints and other answers to our mails", ["way", "kind"],
            registry=self.registry,
        )  # fmt: skip

    def count(self, way: str, kind: str) -> None:
        """One more."""
        self._counter.labels(way, kind).inc()


class Intake:
    """Takes reports in. `shops` names the shops whose tokens are ours; it is asked for those beside the default one.

    `patience` is how many seconds Kafka may take for what was taken in.
    """

    def __init__(
        self,
        signer: Signer,
        publisher: Records,
        shops: Callable[[], Iterable[str]],
        *,
        clock: Clock | None = None,
        returns: Returns | None = None,
        patience: float = 10.0,
    ) -> None:
        self._signer = signer
        self._publisher = publisher
        self._shops = shops
        self._clock = clock or SystemClock()
        self.returns = returns or Returns()
        self._patience = patience

    def take_mail(self, raw: bytes, *, way: str, recipients: Sequence[str] = ()) -> str:
        """Return what it counted as, once Kafka has what it says; raises KafkaUnavailable.

        `recipients` are of the envelope, where the mail server tells them. Repeating it is safe.
        """
        mail = read(raw)
        verdict = classify(mail)
        now = self._clock.now_ms()
        places = (*recipients, *addresses(mail, verdict.kind))
        return self.take([Feedback(verdict, places, written_at(mail.get("date"), now))], way=way)[0]

    def take(self, heard: Sequence[Feedback], *, way: str) -> list[str]:
        """What each counted as, once Kafka has what all of them say; raises KafkaUnavailable. Repeating it is safe."""
        now = self._clock.now_ms()
        counted: list[str] = []
        wanted: list[Record] = []
        for each in heard:
            kind, said = self._judge(each, now)
            counted.append(kind)
            wanted += said
        if wanted:
            write(self._publisher, wanted, timeout=self._patience)
        for kind in counted:
            self.returns.count(way, kind)
        return counted

    def _judge(self, each: Feedback, now: int) -> tuple[str, tuple[Record, ...]]:
        if each.verdict.kind not in EFFECTS:
            return each.verdict.kind, ()
        tokens = [token for place in each.places for token in tokens_in(place)][:MOST_TOKENS]
        named = next((found for token in tokens if (found := self._named(token)) is not None), None)
        if named is None:
            return FOREIGN if tokens else UNNAMED, ()
        return each.verdict.kind, records(each.verdict, named, at=plausible(each.at, now))

    def _named(self, token: str) -> Named | None:
        try:
            return read_token(self._signer, token, self._candidates())
        except InvalidEvent:
            return None

    def _candidates(self) -> Iterator[str]:
        """The shops, asked for only once the default one does not fit: they may have to be read from Kafka."""
        yield DEFAULT_SHOP
        yield from self._shops()
