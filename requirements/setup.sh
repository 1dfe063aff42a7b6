#!/bin/sh
# Makes .venv/ ready: `setup.sh PYTHON local|dev`. Safe to repeat; a broken attempt starts over.
set -eu
python=$1
kind=$2
say() { printf '\033[2m· %s\033[0m\n' "$1" >&2; }
fail() { printf 'set-up: %s\n' "$1" >&2; exit 1; }

command -v "$python" >/dev/null || fail "no '$python' found. Install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old; Cartwake needs 3.11 or newer. Name another one: make PYTHON=python3.12"

if [ ! -x .venv/bin/pip ]; then
    say "creating .venv/ with $("$python" --version)"
    "$python" -m venv .venv ||
        fail "'$python -m venv' failed. On Debian and Ubuntu: apt install python3-venv"
fi
say "installing the locked packages of requirements/$kind.txt (some 400 MB the first time; a few minutes on a slow line)"
# pip's words, shortened to the packages as they come; its exit status goes around the pipe
status=.venv/.pip-status
{
    .venv/bin/pip install --disable-pip-version-check --require-hashes --progress-bar off -r "requirements/$kind.txt" 2>&1 &&
        echo 0 >"$status" || echo 1 >"$status"
} | sed -n -e 's/^ *Downloading \([^ ]*\/\)*\([^ ]*\)/    \2/p' -e '/^ *Installing collected/s/:.*//p' -e '/ERROR/p' -e '/^WARNING: Retrying/p' >&2
[ "$(cat "$status")" = 0 ] ||
    fail "a package could not be installed; pip's words above say which. Behind a proxy or a mirror set PIP_INDEX_URL and run the same command again"
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . ||
    fail "the project itself could not be installed; see pip's words above"
# behind a proxy with a certificate of its own, what pip was told holds for the jars too
if [ -z "${REQUESTS_CA_BUNDLE:-}" ]; then
    cert=$(.venv/bin/pip config get :env:.cert 2>/dev/null || .venv/bin/pip config get global.cert 2>/dev/null || true)
    [ -z "$cert" ] || export REQUESTS_CA_BUNDLE="$cert"
fi
.venv/bin/python -m local.jars ||
    fail "Kafka's jars could not be had; see above. With a Kafka of your own: export CARTWAKE_KAFKA_BOOTSTRAP=host:9092"
touch ".venv/.$kind-ready"
[ "$kind" = local ] || touch .venv/.local-ready
