"""One tree of errors, each saying what to do next.

CartwakeError
├── InvalidEvent        bad input: it goes to `dead-letters` with its reason, the rest goes on
├── Unavailable         retryable: keep the offset, back off, try again
│   ├── KafkaUnavailable
│   ├── SinkUnavailable
│   └── MailUnavailable
├── Rejected            a decision or a peer said no: record it, never retry
└── ConfigurationError  stop, naming the setting and an example
"""


class CartwakeError(Exception):
    """The root: catch it where a message for a person is wanted instead of a traceback."""


class InvalidEvent(CartwakeError):
    """The input can't be used; `str()` is the reason a shop's developer reads in `dead-letters`."""


class Unavailable(CartwakeError):
    """A part is away; the same call may succeed later."""


class KafkaUnavailable(Unavailable):
    """Kafka does not answer."""


class SinkUnavailable(Unavailable):
    """ClickHouse does not answer, or refused for a reason that passes."""


class MailUnavailable(Unavailable):
    """The relay does not answer, or asked to come back later (4xx)."""


class Rejected(CartwakeError):
    """A final no; repeating it changes nothing."""


class ConfigurationError(CartwakeError):
    """A setting or the surroundings are wrong; `str()` names it and shows one that works."""
