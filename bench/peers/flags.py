"""What a peer is given on its command line: the fields of `bench.job.Job`, and options of its own."""

import argparse


def parse(**more: str) -> argparse.Namespace:
    """The job, with `more` as further options and their defaults."""
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "input", "output", "group", "folder"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--records", type=int, required=True)
    for name, default in more.items():
        parser.add_argument(f"--{name}", default=default)
    return parser.parse_args()


class First:
    """Says `first` the first time it is called."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self) -> None:
        if not self._said:
            self._said = True
            print("first", flush=True)
