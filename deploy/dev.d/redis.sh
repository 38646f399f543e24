# Redis: append-only file, no snapshots.
# shellcheck shell=bash

prepare_redis() {
    mkdir -p -m 700 "$DATA/redis"
    # In a file, because every user of the machine may read a command line.
    (umask 077 && echo "requirepass $REDIS_PASSWORD" >"$STATE/etc/redis.conf")
}

launch_redis() {
    spawn redis redis-server "$STATE/etc/redis.conf" --bind 127.0.0.1 --port "$(saved_port redis)" --dir "$DATA/redis" \
        --appendonly yes --appendfsync everysec --save '' --daemonize no --set-proc-title no
}

redis_ready() {
    listens "$PID" "$(saved_port redis)" &&
        [[ $(REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -p "$(saved_port redis)" ping 2>&1) == PONG ]]
}

client_redis_cli() {
    prepare_stack
    REDISCLI_AUTH=$REDIS_PASSWORD exec redis-cli -h 127.0.0.1 -p "$(saved_port redis)" "$@"
}
