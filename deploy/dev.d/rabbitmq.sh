# RabbitMQ: a node with its own name, cookie and port mapper, all of it on loopback.
# shellcheck shell=bash

readonly RABBITMQ_BIN=/usr/lib/rabbitmq/bin

# The packaged wrappers insist on the user "rabbitmq" and its home; what they wrap
# runs as anybody, told by its environment where everything is, and by nothing else:
# a person's own RABBITMQ_ variables mean another broker.
rabbitmq_environment() {
    local home=$STATE/etc/rabbitmq
    ENVIRONMENT=(
        -i
        PATH="$PATH"
        LC_ALL="$LC_ALL"
        HOME="$home"
        ERL_EPMD_PORT="$(saved_port epmd)"
        ERL_EPMD_ADDRESS=127.0.0.1
        ERL_CRASH_DUMP="$LOG/erl_crash.dump"
        RABBITMQ_NODENAME="caraway-$STACK_ID@localhost"
        RABBITMQ_DIST_PORT="$(saved_port erlang)"
        RABBITMQ_CONF_ENV_FILE="$home/env.conf"
        RABBITMQ_CONFIG_FILE="$home/rabbitmq.conf"
        RABBITMQ_ADVANCED_CONFIG_FILE="$home/advanced.config"
        RABBITMQ_ENABLED_PLUGINS_FILE="$home/plugins"
        RABBITMQ_MNESIA_BASE="$DATA/rabbitmq"
        RABBITMQ_LOG_BASE="$LOG"
        RABBITMQ_LOGS=-
        # Without it the start script stays between us and the broker, and a SIGKILL
        # to the process that we know would leave the broker alive.
        RUNNING_UNDER_SYSTEMD=true
        # Idle schedulers sleep instead of spinning, and are not tied to one core each:
        # a test run has several brokers.
        RABBITMQ_SCHEDULER_BIND_TYPE=u
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}'
        RABBITMQ_CTL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
    )
}

prepare_rabbitmq() {
    local home=$STATE/etc/rabbitmq
    mkdir -p -m 700 "$home" "$DATA/rabbitmq"
    (umask 077 && printf %s "$ERLANG_COOKIE" >"$home/cookie.new")
    chmod 400 "$home/cookie.new"
    mv -f -- "$home/cookie.new" "$home/.erlang.cookie"
    : >"$home/env.conf"
    echo '[].' | tee "$home/plugins" >"$home/advanced.config"
}

launch_rabbitmq() {
    ensure_port erlang
    start_epmd
    (umask 077 && rabbitmq_configuration >"$STATE/etc/rabbitmq/rabbitmq.conf")
    rabbitmq_environment
    spawn rabbitmq env "${ENVIRONMENT[@]}" "$RABBITMQ_BIN/rabbitmq-server"
}

# The user comes from here and not from rabbitmqctl, so that a node whose data
# directory was removed comes back with it. With a default user, there is no "guest".
rabbitmq_configuration() {
    cat <<CONFIGURATION
listeners.tcp.1 = 127.0.0.1:$(saved_port rabbitmq)
default_user = caraway
default_pass = $AMQP_PASSWORD
default_user_tags.administrator = true
default_permissions.configure = .*
default_permissions.write = .*
default_permissions.read = .*
max_message_size = 65536
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 200MB
raft.wal_max_size_bytes = 67108864
CONFIGURATION
}

# A port mapper of our own: one that belongs to the machine may serve other nodes, and
# the one that Erlang would start by itself is nobody's to stop.
start_epmd() {
    ! alive epmd || return 0
    forget epmd
    ensure_port epmd
    spawn epmd epmd -address 127.0.0.1 -port "$(saved_port epmd)"
    wait_until 10 epmd epmd_ready ||
        fail_with_log "Erlang's port mapper did not start" "$LOG/epmd.log" "try again"
}

epmd_ready() {
    listens "$PID" "$(saved_port epmd)"
}

stop_epmd() {
    stop_process epmd TERM 10
}

# Ready is who answers the AMQP header; rabbitmqctl would start an Erlang for a second.
rabbitmq_ready() {
    local port first='' amqp
    port=$(saved_port rabbitmq)
    listens "$PID" "$port" || return 1
    { exec {amqp}<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || return 1
    printf 'AMQP\0\0\x09\x01' >&"$amqp"
    read -r -N 1 -t 5 -u "$amqp" first || true
    exec {amqp}>&-
    [[ $first == $'\x01' ]]
}

client_rabbitmqctl() {
    prepare_stack
    rabbitmq_environment
    exec env "${ENVIRONMENT[@]}" "$RABBITMQ_BIN/rabbitmqctl" "$@"
}
