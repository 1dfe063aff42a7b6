"""Which telephone numbers we write to: valid ones that take text messages, in E.164."""

from functools import lru_cache
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

#: Kinds no text message reaches, or one that would cost a fortune: numbers come from forms that anybody can fill in.
_NOT_WRITTEN_TO: Final = {
    PhoneNumberType.FIXED_LINE: "it is a fixed line",
    PhoneNumberType.PREMIUM_RATE: "it is a premium-rate number",
    PhoneNumberType.SHARED_COST: "it is a shared-cost number",
    PhoneNumberType.TOLL_FREE: "it is a toll-free number",
    PhoneNumberType.UAN: "it is a company's access number",
    PhoneNumberType.VOICEMAIL: "it is a voice mailbox",
    PhoneNumberType.PAGER: "it is a pager",
}


@lru_cache(maxsize=4096)
def check_number(text: str, region: str = "") -> str | None:
    """What is wrong with the number, or None. `region` (ISO 3166) is the country of numbers without a code."""
    try:
        number = phonenumbers.parse(text, region or None)
    except phonenumbers.NumberParseException as exc:
        return str(exc)
    if not phonenumbers.is_valid_number(number):
        return "there is no such number"
    return _NOT_WRITTEN_TO.get(phonenumbers.number_type(number))


def e164(text: str, region: str = "") -> str:
    """The number as `+491701234567`; raises ValueError when `check_number` finds something wrong."""
    problem = check_number(text, region)
    if problem is not None:
        raise ValueError(problem)
    return str(phonenumbers.format_number(phonenumbers.parse(text, region or None), PhoneNumberFormat.E164))
