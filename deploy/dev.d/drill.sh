# The fault drill: breaks a running Caraway of its own in every way of the catalogue.
# shellcheck shell=bash

# run_drill [FAULT…] [OPTION…]
run_drill() {
    local start=${EPOCHREALTIME/[^0-9]/}
    need_cargo
    mkdir -p "$STATE/drill" "$LOG"
    install_missing build
    # Only wrong clocks need it, and where it cannot be had the drill says that they were not run.
    if [[ " ${*^^} " =~ " "(--ALL|F38)" " ]]; then
        (install_missing drill) || true
    fi
    exec {DRILL_LOCK}>"$STATE/drill/lock"
    flock -n "$DRILL_LOCK" || die "another drill uses $STATE/drill"
    began "building the programs, with crash points"
    (cd "$ROOT" && cargo build --workspace --bins --locked --features caraway-shared/failpoints)
    done_in "programs built" "$start"
    trap stop_drill_stack EXIT
    trap 'exit 130' INT TERM HUP
    stop_drill_stack
    # A place of its own: a test run takes down whatever it finds in that of the tests.
    CARAWAY_DEV_DIR=$STATE/drill CARAWAY_DRILL_DIR=$STATE/drill \
        "${CARGO_TARGET_DIR:-$ROOT/target}/debug/drill" "$@" {DRILL_LOCK}>&-
}

# What an interrupted or failed drill left behind; its logs stay until the next one.
stop_drill_stack() {
    local stack=$STATE/drill/test-stacks/drill
    [[ ! -d $stack/run ]] || CARAWAY_DEV_DIR=$stack "$ROOT/deploy/dev" down "$@" >/dev/null || true
}

wipe_drill_stack() {
    [[ -d $STATE/drill/test-stacks ]] || return 0
    exec {DRILL_LOCK}>"$STATE/drill/lock"
    flock -n "$DRILL_LOCK" || return 0
    stop_drill_stack --wipe
    rmdir -- "$STATE/drill/test-stacks" 2>/dev/null || true
    exec {DRILL_LOCK}>&-
}
