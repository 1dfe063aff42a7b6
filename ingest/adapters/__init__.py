"""One file per source. To add one: copy the file nearest to it, write its `read`, name it in READERS.

What every `read` promises is in ingest/line.py; the contract tests in tests/ingest/ take each entry of READERS.
"""

from typing import Final

from ingest.adapters import cartwake, rees46
from ingest.line import Reader

READERS: Final[dict[str, Reader]] = {"cartwake": cartwake.read, "rees46": rees46.read}
