"""What is looked for, as ClickHouse looks for it, and what was meant by a name there is not."""

import difflib
from collections.abc import Iterable


def pattern(search: str) -> str:
    """A pattern for LIKE that finds the text as it is, in small letters; empty for none."""
    text = search.strip().lower()
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%" if text else ""


def near(given: str, known: Iterable[str], *, otherwise: str = "there are") -> str:
    """`did you mean a? there are a, b`: for somebody who mistyped."""
    names = list(known)
    found = difflib.get_close_matches(given, names, n=1)
    return f"{f'did you mean {found[0]}? ' if found else ''}{otherwise} {', '.join(names)}"
