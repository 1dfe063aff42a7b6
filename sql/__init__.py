"""The SQL of the project, by name: `schema/` numbered and forward only, `ingest/`, `console/`, `reports/`."""

from importlib.resources import files


def read(name: str) -> str:
    """The text of a file here, such as `console/page.sql`; FileNotFoundError when there is none."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def names(folder: str) -> list[str]:
    """The files of a folder here, sorted, without the folder."""
    return sorted(x.name for x in files(__name__).joinpath(folder).iterdir() if x.name.endswith(".sql"))
