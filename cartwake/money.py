"""Money is Decimal with an ISO 4217 code; never a float."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

from cartwake.errors import InvalidEvent

#: ISO 4217, active codes and the few funds shops meet.
CURRENCIES = frozenset(
    """AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF
    CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL
    HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL
    MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON
    RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH
    UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG""".split()
)
MOST = Decimal(10) ** 12
_ZERO = Decimal(0)
_same_as_cent = Decimal("0.01").same_quantum
_PLACES = range(-6, 13)  # exponents: 0E+100 is a number, but no price


class Line(Protocol):
    """What has a price and a quantity."""

    @property
    def quantity(self) -> int | None: ...
    @property
    def price(self) -> Decimal | None: ...


def total(lines: Iterable[Line]) -> Decimal:
    """Sum of quantity times price; a line without a price counts nothing, one without a quantity once."""
    found = _ZERO
    for line in lines:
        price, quantity = line.price, line.quantity
        if price is not None:
            found += price if quantity is None or quantity == 1 else price * quantity
    return found


def is_plain(amount: Decimal) -> bool:
    """Whether `amount` is what nearly all are, one with two decimals: then there is nothing to check."""
    return _same_as_cent(amount) and _ZERO <= amount <= MOST


def check_amount(amount: Decimal | None, name: str) -> None:
    """Raise InvalidEvent unless `amount` is None or 0 … 10^12 with at most six decimals."""
    if amount is None:
        return
    if not amount.is_finite():
        raise InvalidEvent(f"{name}: {amount} is no number")
    if amount < 0:
        raise InvalidEvent(f"{name}: {amount} is negative")
    if amount > MOST or amount.as_tuple().exponent not in _PLACES:
        raise InvalidEvent(f"{name}: out of range (at most 10^12, six decimals)")


def check_currency(code: str | None) -> None:
    """Raise InvalidEvent unless `code` is None or an ISO 4217 code."""
    if code is not None and code not in CURRENCIES:
        raise InvalidEvent(f"currency: {code!r} is no ISO 4217 code (example: EUR)")
