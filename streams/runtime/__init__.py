"""Partition batches, state and timers on Faust: see README.md in this folder."""

from streams.runtime.app import App, Config
from streams.runtime.partition import Partition, Poisoned, Stage
from streams.runtime.producer import SendFailed
from streams.runtime.table import Table

__all__ = ["App", "Config", "Partition", "Poisoned", "SendFailed", "Stage", "Table"]
