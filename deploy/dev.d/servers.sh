# What PostgreSQL, RabbitMQ and Redis have in common. What differs is in a file for each,
# with three functions that are called from here: prepare_NAME, launch_NAME, NAME_ready.
# shellcheck shell=bash

is_server() {
    [[ $1 == postgres || $1 == rabbitmq || $1 == redis ]]
}

# servers [build]: all three, side by side. With "build", a C linker is installed too.
servers() {
    local name jobs=()
    prepare_stack
    install_missing "$@"
    began "starting PostgreSQL, RabbitMQ and Redis (some seconds)"
    for name in "${SERVERS[@]}"; do
        with_lock "$name" start_server "$name" &
        jobs+=($!)
    done
    wait_for_all "${jobs[@]}" || die "not all servers run"
    write_env
}

start_server() {
    local name=$1 tries=0 start=${EPOCHREALTIME/[^0-9]/}
    if alive "$name"; then
        # It may be one whose start was interrupted, and not be ready yet.
        wait_until 60 "$name" "${name}_ready" || server_failed "$name"
        echo "$name runs already on 127.0.0.1:$(saved_port "$name")"
        return
    fi
    forget "$name"
    "prepare_$name"
    until try_server "$name"; do
        kill_process "$name"
        # A stranger may have taken a port between our look and the server's; then again.
        lost_port "$name" && ((++tries < 3)) || server_failed "$name"
    done
    done_in "$name on 127.0.0.1:$(saved_port "$name")" "$start"
}

try_server() {
    ensure_port "$1"
    "launch_$1" && wait_until 60 "$1" "${1}_ready"
}

lost_port() {
    port_taken "$(saved_port "$1")" || { [[ $1 == rabbitmq ]] && port_taken "$(saved_port erlang)"; }
}

server_failed() {
    fail_with_log "$1 is not ready" "$LOG/$1.log" \
        "read the log above; deploy/dev down --wipe makes room for a new beginning, without the data"
}

stop_server() {
    alive "$1" || { forget "$1"; return 0; }
    # PostgreSQL's fast shutdown is SIGINT; its SIGTERM would wait for every client.
    local signal=TERM start=${EPOCHREALTIME/[^0-9]/}
    [[ $1 != postgres ]] || signal=INT
    stop_process "$1" "$signal" 30
    done_in "$1 stopped" "$start"
}
