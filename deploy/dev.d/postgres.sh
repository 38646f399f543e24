# PostgreSQL: an unprivileged user's cluster, with fsync as in production.
# shellcheck shell=bash

postgres_bin() {
    local version found
    # A cluster can be opened only by the version that made it.
    if { read -r version <"$DATA/postgres/PG_VERSION"; } 2>/dev/null; then
        found=/usr/lib/postgresql/$version/bin/postgres
    else
        found=$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1)
    fi
    if [[ ! -x $found ]]; then found=$(command -v postgres) || return 1; fi
    dirname -- "$found"
}

# PostgreSQL refuses to run as root.
as_postgres() {
    if ((EUID)); then
        "$@"
    else
        setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
    fi
}

prepare_postgres() {
    if [[ -L $DATA/postgres ]] && ! owns_place; then rm -- "$DATA/postgres"; fi
    clear_stale_postmaster
    [[ ! -e $DATA/postgres/PG_VERSION ]] || return 0
    local place new bin
    place=$(postgres_place)
    new=$place/postgres.new
    bin=$(postgres_bin)
    # Made beside its place and moved when complete: half a cluster is none.
    rm -rf -- "$new"
    mkdir -m 700 -- "$new"
    ((EUID)) || chown postgres: -- "$new"
    (cd / && make_cluster "$bin" "$new") >>"$LOG/postgres.log" 2>&1 ||
        fail_with_log "PostgreSQL's data could not be made" "$LOG/postgres.log" "is the disk full?"
    mv -T -- "$new" "$place/postgres"
    if [[ $place != "$DATA" ]]; then
        stat -c %d:%i -- "$DATA" >"$place/owner"
        ln -sfnT -- "$place/postgres" "$DATA/postgres"
    fi
}

# Where the cluster can lie: the user "postgres" cannot enter a clone below a folder
# that only root may read, so that its own home has to do then.
postgres_place() {
    local home
    if ((EUID)) || as_postgres test -x "$DATA"; then
        echo "$DATA"
    else
        home=$(getent passwd postgres | cut -d: -f6)
        (cd / && as_postgres mktemp -d "$home/caraway-dev.XXXXXXXX")
    fi
}

make_cluster() {
    as_postgres "$1/initdb" -D "$2" --username=postgres --encoding=UTF8 --locale=C.UTF-8 \
        --auth=reject --no-sync --no-instructions || return
    # The superuser has no password and so no entry: everybody comes as "caraway".
    as_postgres tee "$2/pg_hba.conf" >/dev/null <<<'host all all 127.0.0.1/32 scram-sha-256' || return
    as_postgres "$1/postgres" --single -D "$2" -c exit_on_error=on postgres <<SQL
CREATE ROLE caraway LOGIN CREATEDB PASSWORD '$POSTGRES_PASSWORD'
CREATE DATABASE caraway OWNER caraway
SQL
}

launch_postgres() {
    local run_as=() data
    # The real place, to which the unprivileged user has a way.
    data=$(realpath -- "$DATA/postgres")
    ((EUID)) || run_as=(setpriv --reuid=postgres --regid=postgres --init-groups --)
    # No socket file: its path may be at most 107 bytes long, and a clone's path is longer.
    spawn postgres "${run_as[@]}" "$(postgres_bin)/postgres" -D "$data" \
        -p "$(saved_port postgres)" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
        -c fsync=on -c full_page_writes=on -c synchronous_commit=on \
        -c max_connections=800 -c shared_buffers=128MB -c logging_collector=off \
        -c log_line_prefix='%m [%p] %q%u@%d '
}

# The postmaster says in its own file that it is ready, so that nobody has to knock.
postgres_ready() {
    local lines=()
    mapfile -t lines 2>/dev/null <"$DATA/postgres/postmaster.pid" || return 1
    [[ ${lines[0]:-} == "$(<"$RUN/postgres.pid")" && ${lines[7]:-} == ready* ]]
}

# The lock file of a killed postmaster names an id that may be somebody else's by now,
# or a dead process that nobody has buried; PostgreSQL would refuse to start. It is safe
# to remove once nothing has the old shared memory, which is PostgreSQL's own criterion.
clear_stale_postmaster() {
    local lines=() until=$((SECONDS + 10))
    { mapfile -t lines <"$DATA/postgres/postmaster.pid"; } 2>/dev/null || return 0
    while memory_in_use "${lines[6]:-}"; do
        ((SECONDS < until)) || die "something still works on $DATA/postgres"
        sleep 0.05
    done
    rm -f -- "$DATA/postgres/postmaster.pid"
}

# memory_in_use "KEY ID"
memory_in_use() {
    local segment
    read -ra segment <<<"$1"
    ((${#segment[@]} == 2)) || return 1
    awk -v id="${segment[1]}" '$2 == id && $7 > 0 { used = 1 } END { exit !used }' /proc/sysvipc/shm
}

# SIGKILL to the postmaster; its children, asked first to whom they belong, end by
# themselves, and a cluster that still has some cannot be started again.
kill_postgres() {
    local children=() child
    if alive postgres; then
        kill -s STOP "$PID" 2>/dev/null || true
        mapfile -t children < <(children_of "$PID")
    fi
    kill_process postgres
    for child in "${children[@]}"; do
        wait_gone "${child%% *}" "${child#* }" 5 || kill -s KILL "${child%% *}" 2>/dev/null || true
    done
}

# children_of PID: a line of id and identity for each.
children_of() {
    local entry
    for entry in /proc/[0-9]*; do
        if read_process "${entry##*/}" && [[ $PROCESS_PARENT == "$1" ]]; then
            echo "${entry##*/} $PROCESS_IDENTITY"
        fi
    done
}

# A copied clone has the link too, and the cluster behind it is the original's.
owns_place() {
    local owner
    { read -r owner <"$DATA/postgres/../owner"; } 2>/dev/null &&
        [[ $owner == "$(stat -c %d:%i -- "$DATA")" ]]
}

wipe_postgres() {
    if [[ -L $DATA/postgres ]] && owns_place; then
        rm -rf -- "$(dirname -- "$(readlink -- "$DATA/postgres")")"
    fi
}

client_psql() {
    prepare_stack
    # Not as a URL: every user of the machine may read a command line.
    PGPASSWORD=$POSTGRES_PASSWORD exec "$(postgres_bin)/psql" -h 127.0.0.1 -p "$(saved_port postgres)" -U caraway -d caraway "$@"
}
