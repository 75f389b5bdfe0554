#!/usr/bin/env bash
# Lint, types and tests. With --all the slow tests too; other arguments go to pytest.
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

selection=(-m "not slow")
if [ "${1:-}" = "--all" ]; then
    selection=()
    shift
fi

ruff check .
ruff format --check .
mypy hawkeye data_preparing
python -m pytest "${selection[@]}" "$@"
