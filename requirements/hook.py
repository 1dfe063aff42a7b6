"""Gives the package the unpinned dependencies of run.in and local.in, so that they are named in one place."""

from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface


class RequirementsHook(MetadataHookInterface):
    """Reads a requirement a line, with a reason behind `#`; options (`-r`, `-c`) are none."""

    def update(self, metadata: dict[str, object]) -> None:
        folder = Path(self.root) / "requirements"
        lines = [line for name in ("run.in", "local.in") for line in (folder / name).read_text().splitlines()]
        found = [line for raw in lines if (line := raw.split("#")[0].strip())]
        metadata["dependencies"] = [line for line in found if not line.startswith("-")]
