# Processes that this script starts, and the certainty that a process id still means
# the process that we started: an id is used again, a start time in one boot is not.
# shellcheck shell=bash

# read_process PID: sets PROCESS_STATE, PROCESS_PARENT and PROCESS_IDENTITY.
read_process() {
    local line boot fields
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    read -r boot </proc/sys/kernel/random/boot_id
    # The second field is the program's name in brackets, and may hold anything.
    read -ra fields <<<"${line##*) }"
    PROCESS_STATE=${fields[0]}
    PROCESS_PARENT=${fields[1]}
    PROCESS_IDENTITY="${fields[19]} $boot"
}

# still PID IDENTITY: it is alive, and it is that one.
still() {
    read_process "$1" && [[ $PROCESS_IDENTITY == "$2" && $PROCESS_STATE != [ZX] ]]
}

# alive NAME: sets PID and IDENTITY.
alive() {
    local folder
    {
        read -r PID <"$RUN/$1.pid"
        IFS=' ' read -r folder IDENTITY <"$RUN/$1.started"
    } 2>/dev/null || return 1
    [[ $folder == "$(run_folder)" ]] && still "$PID" "$IDENTITY"
}

# A clone that was copied while it ran has the same pid files, and must leave the
# processes of the original alone; one that was moved still owns them.
run_folder() {
    stat -c %d:%i -- "$RUN"
}

# spawn NAME COMMAND…: detached, with a log, and with nothing of ours held open:
# whoever reads our output through a pipe must see its end.
spawn() {
    local name=$1 pid
    shift
    shorten_log "$LOG/$name.log"
    # A log tells names, addresses and errors: to its owner only.
    (umask 077 && : >>"$LOG/$name.log")
    chmod 600 -- "$LOG/$name.log"
    (
        close_inherited
        cd /
        exec setsid -- "$@"
    ) </dev/null >>"$LOG/$name.log" 2>&1 &
    pid=$!
    read_process "$pid" || return 1
    echo "$(run_folder) $PROCESS_IDENTITY" >"$RUN/$name.started"
    echo "$pid" >"$RUN/$name.pid"
}

shorten_log() {
    if [[ -s $1 ]] && (($(stat -c %s -- "$1") > 20000000)); then
        mv -- "$1" "$1.old"
    fi
}

close_inherited() {
    local fd
    for fd in "/proc/$BASHPID/fd/"*; do
        fd=${fd##*/}
        ((fd <= 2)) || eval "exec $fd>&-"
    done
}

forget() {
    rm -f -- "$RUN/$1.pid" "$RUN/$1.started"
}

# wait_gone PID IDENTITY SECONDS
wait_gone() {
    local until=$((SECONDS + $3))
    while still "$1" "$2"; do
        ((SECONDS < until)) || return 1
        sleep 0.05
    done
}

# stop_process NAME SIGNAL SECONDS: in order, and by force when that takes too long.
stop_process() {
    local orderly=0
    if alive "$1"; then
        # It may end by itself between the look and the signal.
        kill -s "$2" "$PID" 2>/dev/null || true
        if ! wait_gone "$PID" "$IDENTITY" "$3"; then
            orderly=1
            echo "$1: still there after $3 s, killing it; see $LOG/$1.log" >&2
            kill_process "$1"
        fi
    fi
    forget "$1"
    return "$orderly"
}

kill_process() {
    if alive "$1"; then
        kill -s KILL "$PID" 2>/dev/null || true
        wait_gone "$PID" "$IDENTITY" 10 || die "process $PID ($1) does not die"
    fi
    forget "$1"
}

# wait_until SECONDS NAME CONDITION…: gives up as soon as the process is gone. The
# condition finds the process in PID.
wait_until() {
    local until=$((SECONDS + $1)) name=$2
    shift 2
    while alive "$name"; do
        ! "$@" || return 0
        ((SECONDS < until)) || return 1
        sleep 0.05
    done
    return 1
}

# with_lock NAME COMMAND…: two calls of this script must not both start one thing.
# A command that fails ends the script, and the lock with it.
with_lock() {
    local lock
    mkdir -p "$STATE/lock"
    exec {lock}>"$STATE/lock/$1"
    shift
    flock "$lock"
    "$@"
    exec {lock}>&-
}
