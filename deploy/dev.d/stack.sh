# One stack: its folder, its secrets, and the file "env" by which others find it.
# shellcheck shell=bash

prepare_stack() {
    mkdir -p "$RUN" "$LOG" "$DATA" "$STATE/ports" "$STATE/etc"
    with_lock secrets ensure_secrets
    # shellcheck source=/dev/null
    source "$STATE/etc/secrets"
}

ensure_secrets() {
    if [[ -s $STATE/etc/secrets ]]; then
        # One that was made before Redis had a password.
        grep -q ^REDIS_PASSWORD= "$STATE/etc/secrets" || echo "REDIS_PASSWORD=$(random_hex 16)" >>"$STATE/etc/secrets"
        return
    fi
    (
        umask 077
        cat >"$STATE/etc/secrets.new" <<SECRETS
STACK_ID=$(random_hex 4)
POSTGRES_PASSWORD=$(random_hex 16)
AMQP_PASSWORD=$(random_hex 16)
REDIS_PASSWORD=$(random_hex 16)
ERLANG_COOKIE=$(random_hex 16)
SECRETS
        mv -- "$STATE/etc/secrets.new" "$STATE/etc/secrets"
    )
}

random_hex() {
    od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}

# Written after every start, for a port may have been chosen anew.
write_env() {
    [[ -n $(saved_port api-1) ]] || with_lock api-1 ensure_port api-1
    with_lock env replace_env
    load_env
}

replace_env() {
    (
        umask 077
        cat >"$STATE/env.new" <<ENV
export CARAWAY_URL=http://127.0.0.1:$(saved_port api-1)
export CARAWAY_POSTGRES_URL=postgres://caraway:$POSTGRES_PASSWORD@127.0.0.1:$(saved_port postgres)/caraway
export CARAWAY_AMQP_URL=amqp://caraway:$AMQP_PASSWORD@127.0.0.1:$(saved_port rabbitmq)/%2f
export CARAWAY_REDIS_URL=redis://:$REDIS_PASSWORD@127.0.0.1:$(saved_port redis)
ENV
        mv -- "$STATE/env.new" "$STATE/env"
    )
}

load_env() {
    [[ -r $STATE/env ]] || die "nothing was started yet in $STATE; try deploy/dev up"
    # shellcheck source=/dev/null
    source "$STATE/env"
}

stop_all() {
    local name jobs=()
    for name in $(program_names); do
        with_lock "$name" stop_program "$name" &
        jobs+=($!)
    done
    wait_for_all "${jobs[@]}" || true
    jobs=()
    for name in "${SERVERS[@]}"; do
        with_lock "$name" stop_server "$name" &
        jobs+=($!)
    done
    wait_for_all "${jobs[@]}" || true
    stop_epmd
}

# wait_for_all PID…: for every one of them, and fails if one did.
wait_for_all() {
    local job failed=0
    for job; do wait "$job" || failed=1; done
    return "$failed"
}

wipe_stack() {
    wipe_postgres
    stop_fuzz_stack --wipe
    wipe_bench
    rm -rf -- "$STATE"/{data,demo,env,log,ports,python,run} "${STATE:?}"/{etc,lock} "$STATE/fuzz/reports"
    wipe_test_stacks
    wipe_drill_stack
    # What is left is not ours.
    rmdir -- "$STATE" 2>/dev/null || true
    echo "the data in $STATE is gone"
}
