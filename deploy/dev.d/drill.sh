# The fault drill: breaks a running Caraway of its own in every way of the catalogue.
# shellcheck shell=bash

# run_drill [FAULT…] [OPTION…]
run_drill() {
    local start=${EPOCHREALTIME/[^0-9]/}
    need_cargo
    mkdir -p "$STATE/drill"
    # Only wrong clocks need it, and where it cannot be had the drill says that they were not run.
    if [[ " ${*^^} " =~ " "(--ALL|F38)" " ]]; then
        mkdir -p "$LOG"
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
    CARAWAY_DEV_DIR=$STATE CARAWAY_DRILL_DIR=$STATE/drill \
        "${CARGO_TARGET_DIR:-$ROOT/target}/debug/drill" "$@" {DRILL_LOCK}>&-
}

# What an interrupted or failed drill left behind; its logs stay until the next one.
stop_drill_stack() {
    local stack=$STATE/test-stacks/drill
    [[ ! -d $stack/run ]] || CARAWAY_DEV_DIR=$stack "$ROOT/deploy/dev" down >/dev/null || true
}
