# What a person sees: a line for every step, and the time it took.
# shellcheck shell=bash

if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    readonly BOLD=$'\e[1m' GREEN=$'\e[32m' RED=$'\e[31m' PLAIN=$'\e[0m'
else
    readonly BOLD='' GREEN='' RED='' PLAIN=''
fi

die() {
    printf '%sdeploy/dev: %s%s\n' "$RED" "$1" "$PLAIN" >&2
    exit 1
}

usage_error() {
    printf 'deploy/dev: %s; see deploy/dev help\n' "$1" >&2
    exit 2
}

# fail_with_log MESSAGE LOG ADVICE
fail_with_log() {
    {
        printf '%s%s%s\n' "$RED" "$1" "$PLAIN"
        if [[ -s $2 ]]; then
            printf 'the last lines of %s:\n' "$2"
            tail -n 20 -- "$2" | sed 's/^/    /'
        fi
        printf 'what to do: %s\n' "$3"
    } >&2
    exit 1
}

# seconds_since MICROSECONDS: as 1.4
seconds_since() {
    local tenths=$(((${EPOCHREALTIME/[^0-9]/} - $1) / 100000))
    echo "$((tenths / 10)).$((tenths % 10))"
}

# milliseconds_since MICROSECONDS
milliseconds_since() {
    echo $(((${EPOCHREALTIME/[^0-9]/} - $1) / 1000))
}

began() {
    printf '%s ...\n' "$1"
}

# done_in TITLE START
done_in() {
    printf '%s%s%s (%s s)\n' "$GREEN" "$1" "$PLAIN" "$(seconds_since "$2")"
}

# A word as a shell would need it, so that a printed command can be pasted.
shell_word() {
    if [[ $1 =~ ^[A-Za-z0-9_./:=@%+-]+$ ]]; then echo "$1"; else printf '%q\n' "$1"; fi
}
