# The whole test suite, against a stack of its own, which a running one does not notice.
# shellcheck shell=bash

# run_tests [FILTER…]
run_tests() {
    check_scripts
    need_cargo
    need_nextest
    mkdir -p "$STATE" "$LOG"
    install_missing build
    install_missing fuzz
    install_pillow
    lock_tests || die "another test run uses $STATE/test"

    trap stop_test_stacks EXIT
    trap 'exit 130' INT TERM HUP
    # Not at the end: the logs of a run that failed are wanted.
    stop_test_stacks --wipe
    test_stack "$STATE/test" servers
    run_suite "$@"
}

lock_tests() {
    exec {TEST_LOCK}>"$STATE/test.lock"
    flock -n "$TEST_LOCK"
}

check_scripts() {
    local script
    for script in "$ROOT"/deploy/dev "$ROOT"/deploy/dev.d/*.sh "$ROOT"/.ci/run; do
        bash -n "$script"
    done
}

# The tests of pictures are held against Pillow, of exactly this version.
install_pillow() {
    need_python_with "$STATE/pillow" "$ROOT/worker/pictures/tests/requirements.txt" Pillow
    export CARAWAY_PICTURE_PYTHON=$VENV/bin/python
}

need_nextest() {
    ! cargo nextest --version >/dev/null 2>&1 || return 0
    began "installing cargo-nextest, the test runner, from source (some minutes)"
    cargo install --locked cargo-nextest
}

# test_stack DIRECTORY COMMAND…
test_stack() {
    local directory=$1
    shift
    CARAWAY_DEV_DIR=$directory "$ROOT/deploy/dev" "$@"
}

run_suite() (
    local start=${EPOCHREALTIME/[^0-9]/} features=(--features caraway-shared/failpoints)
    # What a test leaves behind must not look like a test run.
    exec {TEST_LOCK}>&-
    # shellcheck source=/dev/null
    source "$STATE/test/env"
    # A test that calls this script without naming a stack must not reach a person's own.
    export CARAWAY_DEV_DIR=$STATE/test
    cd "$ROOT"
    began "building the tests"
    cargo nextest run --workspace --locked "${features[@]}" --no-run
    done_in "tests built" "$start"
    # The test runner does not know the examples in the documentation.
    (($#)) || cargo test --workspace --locked "${features[@]}" --doc
    # Two for each processor: most of a test is waiting for what a service does by its own clock.
    cargo nextest run --workspace --locked "${features[@]}" --test-threads "$((2 * $(nproc)))" --no-tests=fail "$@"
)

# stop_test_stacks [--wipe]: ours, and those that a test made and could not take down.
stop_test_stacks() {
    local stack
    for stack in "$STATE"/test-stacks/*/ "$STATE/test"; do
        [[ ! -d $stack/run ]] || test_stack "$stack" down "$@" || true
    done
}

wipe_test_stacks() {
    [[ -e $STATE/test.lock ]] && lock_tests || return 0
    stop_test_stacks --wipe
    rmdir -- "$STATE/test-stacks" 2>/dev/null || true
    rm -f -- "$STATE/test.lock"
}
