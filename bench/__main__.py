"""`python -m bench NAME …`: each benchmark is a module with `add_arguments(parser)` and `main(arguments)`."""

import argparse
import importlib
import signal
import sys

#: To add one, write bench/<name>.py and name it here.
NAMES = ("carts", "parts", "growth", "restore", "flow", "start", "reminders", "alarms", "analytics")


def main() -> int:
    """Run the benchmark that is named."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    commands = parser.add_subparsers(dest="name", required=True)
    for name in NAMES:
        module = importlib.import_module(f"bench.{name}")
        module.add_arguments(commands.add_parser(name, help=(module.__doc__ or "").splitlines()[0]))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    return int(importlib.import_module(f"bench.{arguments.name}").main(arguments))


if __name__ == "__main__":
    sys.exit(main())
