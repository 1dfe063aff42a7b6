"""`make test`: one Kafka and one ClickHouse, and beside each other the tests that wait and the tests that compute.

`python -m tests.run` runs everything; with arguments it is pytest.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cartwake.settings import Settings
from local import stack
from tests.conftest import CLICKHOUSE, KAFKA, docker_answers, free_port

#: For rebalances, deadlines, processes. Both halves shall take about as long: the other one has `sinks`.
WAITING = ("tests/e2e", "tests/streams", "tests/faults", "tests/local", "tests/commands")


def main(arguments: list[str]) -> int:
    """Run both halves and show them one after the other; 0 when both passed."""
    if arguments:
        return subprocess.call([sys.executable, "-m", "pytest", *arguments])
    others = sorted(str(path) for path in Path("tests").iterdir() if path.is_dir() or path.name.startswith("test_"))
    others = [path for path in others if path not in WAITING and not path.endswith("__pycache__")]
    if docker_answers():  # testcontainers brings the parts
        return subprocess.call([sys.executable, "-m", "pytest"])
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), kafka_port=free_port(), clickhouse_port=free_port())
        with stack.embedded(settings, kafka=True, clickhouse=True) as running:
            env = os.environ | {KAFKA: running.kafka_bootstrap, CLICKHOUSE: running.clickhouse_dsn}
            pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
            beside = subprocess.Popen([*pytest, *WAITING], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            code = subprocess.call([*pytest, *others], env=env)
            said = beside.communicate()[0].decode(errors="replace")
    sys.stdout.write(said)
    return code or beside.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
