# The main job before the reader's eyes: a photograph goes in, a thumbnail comes out.
# shellcheck shell=bash

demonstrate() {
    local photo=$ROOT/deploy/photos/rocket.jpg result=$STATE/demo/rocket-thumbnail.jpg
    local start=${EPOCHREALTIME/[^0-9]/} answer=$STATE/demo/answer.json
    local item task image document
    mkdir -p "$STATE/demo"
    echo
    echo "${BOLD}The main job: a thumbnail of deploy/photos/rocket.jpg ($(bytes_of "$photo") bytes)${PLAIN}"

    ask "upload" 201 -X POST -H 'Content-Type: image/jpeg' --data-binary "@$photo" "$CARAWAY_URL/items"
    item=$(field id)
    ask "ask for the thumbnail" 202 -X POST "$CARAWAY_URL/process-image/$item"
    task=$(field task_id)
    follow "$task"
    ask "fetch the result" 200 "$CARAWAY_URL/v1/tasks/$task/result"
    document=$(<"$answer")
    image=$(field image_id)
    answer=$result ask "download it" 200 "$CARAWAY_URL/items/$image/content"
    check_download "$result" "$document"
    show_result
    show_by_hand
}

# ask TITLE STATUS CURL-ARGUMENT…: the answer goes to the file $answer.
ask() {
    local title=$1 wanted=$2 got since=${EPOCHREALTIME/[^0-9]/}
    shift 2
    got=$(curl --noproxy '*' -sS --max-time 30 -o "$answer" -w '%{http_code}' "$@" 2>"$STATE/demo/curl.log") || got="no answer"
    [[ $got == "$wanted" ]] || demo_failed "$title: $got instead of $wanted"
    demo_line "$title" "$since" "$got"
}

field() {
    jq -er --arg name "$1" '.[$name]' "$answer" || demo_failed "the answer has no \"$1\""
}

# follow TASK: a line for every state that is seen, until one is final.
follow() {
    local state='' seen since=${EPOCHREALTIME/[^0-9]/} until=$((SECONDS + 60))
    local final='^(succeeded|failed|cancelled|expired)$'
    until [[ $state =~ $final ]]; do
        ((SECONDS < until)) || demo_failed "the task is still $state after a minute"
        curl --noproxy '*' -sS --max-time 30 -o "$answer" "$CARAWAY_URL/v1/tasks/$1" 2>"$STATE/demo/curl.log" ||
            demo_failed "the API does not answer"
        seen=$(field state)
        [[ $seen == "$state" ]] || demo_line "the task is $seen" "$since" "$(jq -r '.worker // empty' "$answer")"
        state=$seen
        [[ $state =~ $final ]] || sleep 0.02
    done
    [[ $state == succeeded ]] || demo_failed "the task is $state"
}

check_download() {
    [[ $(sha256sum <"$1") == "$(jq -r .sha256 <<<"$2")  -" ]] ||
        demo_failed "the download is not what the worker made: its SHA-256 differs"
}

demo_line() {
    printf '  %-24s %6s ms  %s\n' "$1" "$(milliseconds_since "$2")" "$3"
}

demo_failed() {
    cat -- "$STATE/demo/curl.log" "$answer" >"$STATE/demo/failure.log" 2>/dev/null || true
    fail_with_log "the demonstration failed: $1" "$STATE/demo/failure.log" \
        "look at deploy/dev logs api-1 and deploy/dev logs worker-1, then run deploy/dev up again"
}

bytes_of() {
    stat -c %s -- "$1"
}

# These two speak with the variables of demonstrate.
show_result() {
    echo "  ${GREEN}done in $(seconds_since "$start") s${PLAIN}: $result"
    jq -r '"  \(.width)x\(.height) \(.format), \(.bytes) bytes, sha256 \(.sha256)"' <<<"$document"
}

show_by_hand() {
    cat <<BY_HAND

By hand:
  curl -H 'Content-Type: image/jpeg' --data-binary @$(shell_word "$photo") $CARAWAY_URL/items
  curl -X POST $CARAWAY_URL/process-image/$item
  curl $CARAWAY_URL/v1/tasks/$task
  curl $CARAWAY_URL/v1/tasks/$task/result
  curl -o thumbnail.jpg $CARAWAY_URL/items/$image/content
BY_HAND
}
