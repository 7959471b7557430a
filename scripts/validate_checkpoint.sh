#!/bin/sh
# Is the claimed state of this repository really complete? Tests pass, the package builds, no production code says
# that it is unfinished, evidence is current, the ledger verifies. Exit 0, or not 0 with the reasons; --json for scripts.
# A repository without a ledger says so itself: --no-state.
set -eu
cd "$(dirname "$0")/.."
for python in "${PYTHON:-}" .venv/bin/python python3; do
    if [ -n "$python" ] && "$python" -c "import autopilot.cli.checkpoint" 2>/dev/null; then
        exec "$python" -m autopilot.cli.main checkpoint validate "$@"
    fi
done
echo "autopilot is not installed here: make .venv/.installed, or pip install -e ." >&2
exit 6
