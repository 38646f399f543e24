# Measures Caraway beside its peers and the bare pipeline, on a stack of its own. What is measured, and how, is in
# deploy/bench; here are the parts installed and built.
# shellcheck shell=bash

# bench [ARGUMENT…]: those of caraway-bench.
bench() {
    local argument help=''
    for argument; do [[ $argument != --help && $argument != -h ]] || help=yes; done
    need_cargo
    mkdir -p "$STATE/bench/log" "$LOG"
    [[ -n $help ]] || install_missing build
    build_bench
    [[ -z $help ]] || exec "$TARGET/caraway-bench" run --help
    lock_bench || die "another benchmark uses $STATE/bench"
    install_peers "$@"
    trap stop_bench_stack EXIT
    trap 'exit 130' INT TERM HUP
    # Not at the end: the logs of a run that failed are wanted.
    stop_bench_stack --wipe
    rm -rf -- "$STATE/bench/log"
    mkdir -- "$STATE/bench/log"
    test_stack "$STATE/bench/servers" servers
    run_bench "$@"
}

lock_bench() {
    exec {BENCH_LOCK}>"$STATE/bench/lock"
    flock -n "$BENCH_LOCK"
}

build_bench() {
    local start=${EPOCHREALTIME/[^0-9]/}
    build_programs
    began "building the benchmark and limit"
    (
        cd "$ROOT" &&
            cargo build --release --locked -p caraway-bench &&
            cargo build --release --locked --manifest-path deploy/bench/limit/Cargo.toml --target-dir "$STATE/bench/target"
    ) || die "the build failed; the compiler says why above"
    done_in "benchmark built" "$start"
}

run_bench() (
    # shellcheck source=/dev/null
    source "$STATE/bench/servers/env"
    export CARAWAY_DEV_DIR=$STATE/bench/servers BENCH_ROOT=$ROOT BENCH_STATE=$STATE/bench BENCH_TARGET=$TARGET
    export BENCH_LIMIT=$STATE/bench/target/release/limit BENCH_PYTHON=$PYTHON_PEERS BENCH_NODE=$NODE_PEERS
    # Whatever outlives it must not look like a benchmark.
    exec {BENCH_LOCK}>&-
    "$TARGET/caraway-bench" run "$@"
)

# install_peers ARGUMENT…: sets PYTHON_PEERS and NODE_PEERS, each a folder or "no: <why>". A peer that cannot be had does
# not keep the others from being measured.
install_peers() {
    PYTHON_PEERS='no: not asked for' NODE_PEERS='no: not asked for'
    if peer_wanted celery "$@"; then install_python_peers; fi
    if peer_wanted bullmq "$@"; then install_node_peers; fi
}

# peer_wanted NAME ARGUMENT…: it is named, or none is.
peer_wanted() {
    local name=$1 wanted=yes argument
    shift
    for argument; do
        case $argument in
            --ci) return 1 ;;
            --peer | --peer=*) wanted=no ;;
        esac
    done
    for argument; do
        if [[ $argument == *"$name"* ]]; then wanted=yes; fi
    done
    [[ $wanted == yes ]]
}

install_python_peers() {
    PYTHON_PEERS="no: Celery could not be installed, see $LOG/install.log"
    (install_missing fuzz) >>"$LOG/install.log" 2>&1 || return 0
    ! python_with "$STATE/bench/python" "$ROOT/deploy/bench/peers/celery/requirements.txt" "Celery and FastAPI" ||
        PYTHON_PEERS=$VENV
}

# Scripts go beside the packages, because Node looks for them there. Not `npm ci`: it insists that the lock file lists the
# parts for other systems, which a registry need not have; `npm install` takes what the lock file says all the same.
install_node_peers() {
    local start=${EPOCHREALTIME/[^0-9]/} source=$ROOT/deploy/bench/peers/bullmq folder
    folder=$STATE/bench/node/$(cat "$source"/* | sha256sum | cut -c 1-12)
    NODE_PEERS=$folder
    [[ ! -e $folder/installed ]] || return 0
    began "installing BullMQ and Fastify"
    rm -rf -- "$STATE/bench/node"
    mkdir -p -- "$folder"
    cp -- "$source"/* "$folder"
    {
        (install_missing node) && (cd "$folder" && npm install --ignore-scripts --no-audit --no-fund)
    } >>"$LOG/install.log" 2>&1 || {
        NODE_PEERS="no: BullMQ could not be installed, see $LOG/install.log"
        return 0
    }
    touch "$folder/installed"
    done_in "installed" "$start"
}

# stop_bench_stack [--wipe]
stop_bench_stack() {
    [[ ! -d $STATE/bench/servers/run ]] || test_stack "$STATE/bench/servers" down "$@"
}

# The reports stay.
wipe_bench() {
    stop_bench_stack --wipe
    rm -rf -- "$STATE"/bench/{log,node,python,servers,target,lock}
    rmdir -- "$STATE/bench" 2>/dev/null || true
}
