"""The secret that signs links: the setting, or one made once and kept in the data folder."""

import os
import secrets
from pathlib import Path

from cartwake.settings import Settings


def secret_of(settings: Settings) -> str:
    """The setting `secret`, else the one in `<data_dir>/secret`, made with mode 0600 when it is not there."""
    if settings.secret:
        return settings.secret
    path = Path(settings.data_dir) / "secret"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    except FileExistsError:
        pass
    while not (text := path.read_text(encoding="ascii")):
        pass  # another role is just writing it
    return text
