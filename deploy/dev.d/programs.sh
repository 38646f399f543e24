# The API and the workers: built, migrated for, started, and replaced when rebuilt.
# shellcheck shell=bash

TARGET=$(cd "$ROOT" && realpath -m -- "${CARGO_TARGET_DIR:-target}")/release
readonly TARGET

need_cargo() {
    command -v cargo >/dev/null && return
    # A person's cargo may be in place and only its folder not in this shell's PATH.
    PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin
    command -v cargo >/dev/null ||
        die "cargo is missing: install Rust with rustup (see rust-lang.org), or your distribution's package if it is recent enough for rust-version in Cargo.toml"
}

build_programs() {
    local start=${EPOCHREALTIME/[^0-9]/}
    began "building in release mode (minutes the first time, a second when nothing changed)"
    (cd "$ROOT" && cargo build --release --locked -p caraway-api -p caraway-worker -p caraway-pictures --bins) ||
        die "the build failed; the compiler says why above"
    done_in "built" "$start"
}

migrate() {
    local start=${EPOCHREALTIME/[^0-9]/}
    program_environment
    "$TARGET/api" migrate </dev/null >>"$LOG/migrate.log" 2>&1 ||
        fail_with_log "the migration failed" "$LOG/migrate.log" "read the log above"
    done_in "database migrated" "$start"
}

# Every program that was ever started here and not wiped, in order.
program_names() {
    local port names=()
    for port in "$STATE"/ports/{api,worker}-*; do
        [[ ! -e $port ]] || names+=("${port##*/}")
    done
    printf '%s\n' "${names[@]}" | sort -V
}

# run_programs KIND COUNT [exactly]: KIND-1 to KIND-COUNT run, from the newest binary.
run_programs() {
    local kind=$1 count=$2 exactly=${3:-} name number jobs=()
    for ((number = 1; number <= count; number++)); do
        with_lock "$kind-$number" renew_program "$kind-$number" &
        jobs+=($!)
    done
    for name in $(program_names); do
        number=${name#"$kind-"}
        [[ $name != "$number" ]] && ((number > count)) || continue
        alive "$name" || continue
        if [[ $exactly ]]; then
            with_lock "$name" stop_program "$name" &
        else
            with_lock "$name" renew_program "$name" &
        fi
        jobs+=($!)
    done
    wait_for_all "${jobs[@]}" || exit 1
    write_env
}

renew_program() {
    local binary=$TARGET/${1%-*}
    # A build puts a new file in the place of the old one, which then runs without a name.
    if alive "$1" && [[ ! /proc/$PID/exe -ef $binary ]]; then
        echo "$1 runs an older build; starting it anew"
        stop_program "$1"
    fi
    start_program "$1"
}

start_program() {
    local name=$1 start=${EPOCHREALTIME/[^0-9]/}
    if alive "$name"; then
        await_program "$name" || program_failed "$name"
        echo "$name runs already on 127.0.0.1:$(saved_port "$name")"
        return
    fi
    [[ -x $TARGET/${name%-*} ]] || die "$TARGET/${name%-*} is not built yet; try deploy/dev up"
    forget "$name"
    ensure_port "$name"
    program_environment
    "launch_${name%-*}" "$name"
    if ! await_program "$name"; then
        stop_process "$name" TERM 10 || true
        program_failed "$name"
    fi
    done_in "$name on 127.0.0.1:$(saved_port "$name")" "$start"
}

# Variables of the person's shell reach the programs, so that an option can be tried
# without a change here. The logs are for reading, unless that shell says otherwise.
program_environment() {
    load_env
    export CARAWAY_LOG_FORMAT=${CARAWAY_LOG_FORMAT:-human}
}

launch_api() {
    spawn "$1" "$TARGET/api" serve --bind "127.0.0.1:$(saved_port "$1")"
}

# The slot file says to the other workers, by its lock, that this one came back.
launch_worker() {
    spawn "$1" "$TARGET/worker" --queue default=256 --queue images=2 --demo-tasks \
        --bind "127.0.0.1:$(saved_port "$1")" --slot-file "$RUN/$1.slot" --loglevel info
}

# Without its servers no program is ready, but it has to run and wait for them:
# a person who tries what happens when a part dies may start things in any order.
await_program() {
    local question=/readyz server
    for server in "${SERVERS[@]}"; do
        alive "$server" || question=/livez
    done
    wait_until 30 "$1" program_answers "$1" "$question" || return 1
    [[ $question == /readyz ]] || echo "$1 waits for $(stopped_servers)"
}

program_failed() {
    fail_with_log "$1 is not ready" "$LOG/$1.log" "read the log above; deploy/dev status shows what runs"
}

program_answers() {
    local port
    port=$(saved_port "$1")
    listens "$PID" "$port" &&
        curl --noproxy '*' -fsS -o /dev/null --max-time 5 "http://127.0.0.1:$port$2" 2>/dev/null
}

stopped_servers() {
    local server
    for server in "${SERVERS[@]}"; do
        alive "$server" || echo "$server"
    done | paste -sd ' '
}

# A worker may finish what it has begun, for up to 30 seconds, and record the rest within 15 more.
stop_program() {
    local start=${EPOCHREALTIME/[^0-9]/}
    alive "$1" || { forget "$1"; return 0; }
    stop_process "$1" TERM 50
    done_in "$1 stopped" "$start"
}
