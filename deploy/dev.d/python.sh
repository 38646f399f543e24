# The tests of the Python client: a stack of its own, with one API and one worker.
# shellcheck shell=bash

readonly PYTHON_CLIENT=$ROOT/deploy/clients/python

# test_python [FILTER…]: a filter is a test as unittest names it, such as tests.real.test_locks
test_python() {
    need_cargo
    mkdir -p "$LOG"
    install_missing python
    install_python_checkers
    "$ROOT/deploy/clients/generate" --check
    trap stop_python_stack EXIT
    trap 'exit 130' INT TERM HUP
    # Not at the end: the logs of a run that failed are wanted.
    stop_python_stack --wipe
    test_stack "$STATE/python-client" up --no-demo --workers 1 --api 1
    (($#)) || check_python_types
    run_python_tests "$@"
}

# Everything that comes with them is pinned as well. Another list makes another environment.
install_python_checkers() {
    local start=${EPOCHREALTIME/[^0-9]/} list=$PYTHON_CLIENT/tests/requirements.txt venv
    venv=$STATE/python-checkers/$(sha256sum "$list" | cut -c 1-12)
    export CARAWAY_CHECKERS=$venv/bin
    [[ ! -e $venv/installed ]] || return 0
    began "installing mypy, pyright and setuptools"
    rm -rf -- "$STATE/python-checkers"
    {
        python3 -m venv "$venv" &&
            "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$list" &&
            "$venv/bin/pyright" --version
    } >>"$LOG/install.log" 2>&1 ||
        fail_with_log "what checks the Python client could not be installed" "$LOG/install.log" "it needs Python 3.10 or later and a package index"
    touch "$venv/installed"
    done_in "installed" "$start"
}

check_python_types() (
    local start=${EPOCHREALTIME/[^0-9]/}
    began "checking the Python client's types"
    cd "$PYTHON_CLIENT" || exit
    "$CARAWAY_CHECKERS/mypy" --cache-dir "$STATE/python-checkers/mypy"
    "$CARAWAY_CHECKERS/pyright"
    done_in "types checked" "$start"
)

run_python_tests() (
    # shellcheck source=/dev/null
    source "$STATE/python-client/env"
    # Some of the tests kill these servers, and no others.
    export CARAWAY_DEV_DIR=$STATE/python-client PYTHONPATH=$PYTHON_CLIENT/src PYTHONDONTWRITEBYTECODE=1
    cd "$PYTHON_CLIENT" || exit
    if (($#)); then
        python3 -W error::RuntimeWarning -m unittest -v "$@"
    else
        python3 -W error::RuntimeWarning -m unittest discover -v -s tests -t .
    fi
)

# stop_python_stack [--wipe]
stop_python_stack() {
    [[ ! -d $STATE/python-client/run ]] || test_stack "$STATE/python-client" down "$@"
}
