"""Gives the package the unpinned dependencies of run.in, so that they are named in one place."""

from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface


class RequirementsHook(MetadataHookInterface):
    """Reads `run.in`, a requirement a line with a reason behind `#`."""

    def update(self, metadata: dict[str, object]) -> None:
        lines = (Path(self.root) / "requirements" / "run.in").read_text().splitlines()
        metadata["dependencies"] = [line for raw in lines if (line := raw.split("#")[0].strip())]
