"""What our states and types are called when staff read them."""

from typing import Final

STATES: Final = {
    "open": "Left",
    "reactivated": "Came back",
    "recovered": "Bought after all",
    "withdrawn": "Was not left",
}

STATE_MEANINGS: Final = {
    "open": "The shopper has not been back since.",
    "reactivated": "The shopper has touched the cart again since.",
    "recovered": "An order was placed after the cart had been left.",
    "withdrawn": "A late event showed that the cart had not been left at that time.",
}

STAGES: Final = {
    "cart": "Cart",
    "contact": "Contact details",
    "address": "Address",
    "shipping": "Shipping",
    "payment": "Payment",
    "review": "Review",
}

MESSAGES: Final = {
    "planned": "Reminder planned",
    "sending": "Being sent",
    "sent": "Reminder sent",
    "suppressed": "Not written to",
    "recovered": "Bought before the reminder",
    "expired": "Reminder expired",
    "failed": "Reminder failed",
    "uncertain": "Perhaps sent",
    "opened": "Mail opened",
    "clicked": "Mail clicked",
    "bounced": "Mail bounced",
    "held": "Reminder waits",
    "complained": "Reported as spam",
}

MESSAGE_MEANINGS: Final = {
    "planned": "A reminder is planned.",
    "sending": "The reminder is on its way to the mail server.",
    "sent": "The mail server took the reminder.",
    "suppressed": "No reminder was sent.",
    "recovered": "The cart was bought before the reminder was due, so none was sent.",
    "expired": "The reminder could not be sent in time, and it is too late now.",
    "failed": "The mail server refused the reminder for good.",
    "uncertain": "The connection broke just before the mail server confirmed: it may or may not have gone out.",
    "opened": "The reminder was sent and opened.",
    "clicked": "The reminder was sent and its link was clicked.",
    "bounced": "The reminder was sent, but came back.",
    "held": "The reminder waits.",
    "complained": "The reminder was sent, and reported as spam.",
}

#: Why nobody is asked about a cart, or, of several, why one of them is left out.
NOT_ASKED: Final = {
    "nobody": "Nobody is known for this cart yet, so there is nobody to write to.",
    "bought": "This cart has been bought already.",
    "gone": "This cart is no longer kept.",
    "returned": "The shopper came back to the cart.",
    "withdrawn": "Late events showed that the cart had not been left.",
    "no_consent": "The person has not agreed to reminders by mail.",
    "unsubscribed": "The person unsubscribed.",
    "bounced": "Earlier mails came back: the address is dead, or took none for a long time.",
    "complained": "The person reported an earlier mail as spam.",
    "erased": "The person’s data was erased on request.",
    "blocked": "The address is on the shop’s block list.",
    "limit": "The person was already written to within 24 hours.",
    "same": "Another of the chosen carts is the same person’s.",
    "away": "Kafka did not answer, so the reminder was not asked for. Please try again.",
}


#: How a badge looks: good, bad, busy or plain.
TONES: Final = {
    "recovered": "good",
    "reactivated": "busy",
    "withdrawn": "plain",
    "open": "warm",
    "abandoned": "warm",
    "completed": "good",
    "placed": "good",
    "identified": "busy",
    "sent": "good",
    "opened": "good",
    "clicked": "good",
    "planned": "busy",
    "sending": "busy",
    "suppressed": "plain",
    "expired": "plain",
    "failed": "bad",
    "bounced": "bad",
    "held": "busy",
    "complained": "bad",
    "uncertain": "bad",
}


#: Where the words of a message are what the mail server answered, not ours.
_ANSWERED: Final = frozenset({"sent", "failed", "uncertain"})


def explained(status: str, said: str) -> str:
    """What became of a message, for staff; `said` are the words it came with."""
    meaning = of(MESSAGE_MEANINGS, status)
    if said and status in _ANSWERED:
        return f"{meaning} The answer was: {said}"
    return said or meaning


def of(names: dict[str, str], key: str | None) -> str:
    """The word for `key`; a key without one is shown as it is."""
    return names.get(key or "", key or "–")
