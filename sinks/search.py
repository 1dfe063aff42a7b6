"""What is looked for, as ClickHouse looks for it."""


def pattern(search: str) -> str:
    """A pattern for LIKE that finds the text as it is, in small letters; empty for none."""
    text = search.strip().lower()
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%" if text else ""
