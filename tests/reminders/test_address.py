"""Which addresses we write to: the short way for plain ones says what the library says of the whole."""

from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from reminders.address import ascii_address, check_address

_LOCAL = st.text("abzAZ09_.+-'!\u00e9", min_size=0, max_size=70)
_HOST = st.one_of(
    st.sampled_from(
        ["example.com", "EXAMPLE.com", "b\u00fccher.example", "localhost", "a.b.c.example.org", "x", "-a.de"]
    ),
    st.text("abz09.-\u00e9", min_size=0, max_size=80),
)


@given(_LOCAL, _HOST)
@example("a" * 64, "example.com")
@example("a" * 65, "example.com")
@example("a", ("a" * 60 + ".") * 3 + "example.com")
@example("a" * 64, ("a" * 60 + ".") * 3 + "example.com")
@example("a" * 60, "b" * 63 + "." + "c" * 63 + "." + "d" * 50 + ".com")
def test_the_short_way_says_what_the_library_says(local: str, host: str) -> None:
    address = f"{local}@{host}"
    try:
        found = validate_email(address, check_deliverability=False, allow_smtputf8=False, test_environment=True)
    except EmailNotValidError:
        assert check_address(address) is not None
    else:
        assert check_address(address) is None
        assert ascii_address(address) == (found.ascii_email or found.normalized)
