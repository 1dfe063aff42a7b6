"""ClickHouse: what the sink does in a second, what an event takes on disk, how soon it can be read."""

import argparse
import importlib
from typing import Final

#: To add a part, write bench/analytics_<name>.py with `add_arguments(parser)` and `main(arguments)`, and name it here.
PARTS: Final = ("sink", "lists", "export")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark, those of each part in a group of its own."""
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    for name in PARTS:
        module = importlib.import_module(f"bench.analytics_{name}")
        module.add_arguments(parser.add_argument_group(name, (module.__doc__ or "").splitlines()[0]))


def main(arguments: argparse.Namespace) -> int:
    """Run the parts that are asked for, one after the other."""
    return max(int(importlib.import_module(f"bench.analytics_{name}").main(arguments)) for name in arguments.only)
