# schemathesis against the API, by its own OpenAPI document: a stack of its own, with one worker.
# shellcheck shell=bash

# Examples an operation, where no time is given.
readonly FUZZ_EXAMPLES=60

# fuzz [--minutes M] [--seed N]
fuzz() {
    local minutes='' seed=''
    while (($#)); do
        case $1 in
            --minutes) minutes=$(count_argument "$@") ;;
            --seed)
                [[ ${2:-} =~ ^[0-9]+$ ]] || usage_error "--seed takes a number"
                seed=$2
                ;;
            *) usage_error "fuzz does not know \"$1\"" ;;
        esac
        shift 2
    done
    need_cargo
    mkdir -p "$LOG"
    install_missing fuzz
    # Everything that comes with it is pinned as well.
    need_python_with "$STATE/python" "$ROOT/deploy/fuzz/requirements.txt" schemathesis
    trap stop_fuzz_stack EXIT
    trap 'exit 130' INT TERM HUP
    # Not at the end: the logs of a run that failed are wanted.
    stop_fuzz_stack --wipe
    test_stack "$STATE/fuzz" up --no-demo --workers 1 --api 1
    attack "$minutes" "$seed"
}

attack() (
    local minutes=$1 seed=$2 amount=(--max-examples "$FUZZ_EXAMPLES")
    # shellcheck source=/dev/null
    source "$STATE/fuzz/env"
    [[ -z $minutes ]] || amount=(--max-time "$((minutes * 60))")
    # What it remembers of earlier runs, it writes beside itself.
    mkdir -p "$STATE/fuzz/reports"
    cd "$STATE/fuzz/reports" || exit
    curl --noproxy '*' -fsS --max-time 10 -o openapi.json "$CARAWAY_URL/openapi.json"
    "$VENV/bin/openapi-spec-validator" --schema 3.1 openapi.json
    local key
    key=$("$TARGET/api" keys create --name fuzz --scope admin)
    until_closed
    # Repeatable with a seed: one thread, and nothing remembered.
    "$VENV/bin/schemathesis" --config-file "$ROOT/deploy/fuzz/schemathesis.toml" --no-color \
        run "$CARAWAY_URL/openapi.json" --header "Authorization: Bearer $key" --phases examples,coverage,fuzzing,stateful \
        --generation-database none "${amount[@]}" ${seed:+--seed "$seed"}
    ! grep -F ' panicked at ' "$STATE"/fuzz/log/{api,worker}-1.log
)

# The first key closes the installation within a moment, and from then on a request without one is to be refused.
until_closed() {
    local deadline=$((SECONDS + 20))
    until [[ $(curl --noproxy '*' -sS --max-time 5 -o /dev/null -w '%{http_code}' "$CARAWAY_URL/v1/queues") == 401 ]]; do
        ((SECONDS < deadline)) || die "the service is still open, 20 s after its first key was made"
        sleep 0.2
    done
}

# stop_fuzz_stack [--wipe]
stop_fuzz_stack() {
    [[ ! -d $STATE/fuzz/run ]] || test_stack "$STATE/fuzz" down "$@"
}
