"""Which telephone numbers we write to: valid ones, in E.164."""

from functools import lru_cache

import phonenumbers


@lru_cache(maxsize=4096)
def check_number(text: str, region: str = "") -> str | None:
    """What is wrong with the number, or None. `region` (ISO 3166) is the country of numbers without a code."""
    try:
        number = phonenumbers.parse(text, region or None)
    except phonenumbers.NumberParseException as exc:
        return str(exc)
    return None if phonenumbers.is_valid_number(number) else "there is no such number"


def e164(text: str, region: str = "") -> str:
    """The number as `+491701234567`; raises ValueError when `check_number` finds something wrong."""
    problem = check_number(text, region)
    if problem is not None:
        raise ValueError(problem)
    return str(
        phonenumbers.format_number(phonenumbers.parse(text, region or None), phonenumbers.PhoneNumberFormat.E164)
    )
