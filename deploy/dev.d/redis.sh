# Redis: append-only file, no snapshots.
# shellcheck shell=bash

prepare_redis() {
    mkdir -p -m 700 "$DATA/redis"
}

launch_redis() {
    spawn redis redis-server --bind 127.0.0.1 --port "$(saved_port redis)" --dir "$DATA/redis" \
        --appendonly yes --appendfsync everysec --save '' --daemonize no --set-proc-title no
}

redis_ready() {
    listens "$PID" "$(saved_port redis)" &&
        [[ $(redis-cli -p "$(saved_port redis)" ping 2>&1) == PONG ]]
}

client_redis_cli() {
    exec redis-cli -u "$CARAWAY_REDIS_URL" "$@"
}
