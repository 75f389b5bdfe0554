# Sourced by the other scripts: enters the project's folder and its environment, making the latter if there is none.
# Uses the active virtual environment when there is one; otherwise .venv in the project's folder.
# With HAWKEYE_ENVIRONMENT=ready it changes nothing: the python on the PATH has all that is needed (conda, a container).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ "${HAWKEYE_ENVIRONMENT:-}" != ready ]; then
    if [ -z "${VIRTUAL_ENV:-}" ]; then
        [ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
        # shellcheck disable=SC1091
        . .venv/bin/activate
    fi

    # Install again only when what is asked for has changed.
    stamp="$VIRTUAL_ENV/.hawkeye-installed"
    wanted="$(cat pyproject.toml constraints.txt | cksum) $PWD"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "Installing hawkeye and what it needs into $VIRTUAL_ENV"
        python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
        echo "$wanted" > "$stamp"
    fi
fi
