# Ports: chosen once, written down, used again at every start.
# shellcheck shell=bash

# Below the range from which the kernel takes ports for outgoing connections.
readonly PORT_FIRST=20000 PORT_COUNT=12000

saved_port() {
    local port=''
    if [[ -r $STATE/ports/$1 ]]; then read -r port <"$STATE/ports/$1" || true; fi
    echo "$port"
}

# port_taken PORT: somebody listens there, on whatever address.
port_taken() {
    local hex
    printf -v hex ':%04X' "$1"
    [[ -n $(awk -v port="$hex" '$4 == "0A" && substr($2, length($2) - 4) == port' /proc/net/tcp /proc/net/tcp6 2>/dev/null) ]]
}

# listens PID PORT: this very process does, and not a stranger who was quicker.
listens() {
    local hex inode
    printf -v hex ':%04X' "$2"
    inode=$(awk -v port="$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10; exit }' /proc/net/tcp)
    [[ -n $inode && -n $(find "/proc/$1/fd" -lname "socket:\[$inode\]" 2>/dev/null) ]]
}

# ensure_port NAME: a port that NAME, which does not run now, can take.
ensure_port() {
    local port
    port=$(saved_port "$1")
    if [[ -z $port ]] || port_taken "$port"; then
        choose_port "$1" >"$STATE/ports/$1.new"
        mv -- "$STATE/ports/$1.new" "$STATE/ports/$1"
    fi
}

choose_port() {
    local port=8079
    while
        # People type the API's port, so it is one that they can guess.
        if [[ $1 == api-* ]]; then
            port=$((port + 1))
        else
            port=$((PORT_FIRST + RANDOM % PORT_COUNT))
        fi
        grep -qsx -- "$port" "$STATE/ports/"* || port_taken "$port"
    do :; done
    echo "$port"
}
