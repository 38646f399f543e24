# What the machine has to have, from the distribution's own packages.
# shellcheck shell=bash

# install_missing [build|fuzz|python|node|drill]
install_missing() {
    local packages
    mapfile -t packages < <(missing_packages "$@")
    ((${#packages[@]} == 0)) || with_lock install install_packages "${packages[@]}"
}

missing_packages() {
    [[ -x $RABBITMQ_BIN/rabbitmq-server ]] || echo rabbitmq-server
    postgres_bin >/dev/null || echo postgresql
    command -v redis-server >/dev/null || echo redis-server
    command -v curl >/dev/null || echo curl
    command -v jq >/dev/null || echo jq
    if [[ ${1:-} == build ]] && ! command -v cc >/dev/null; then
        echo gcc
        echo libc6-dev
    fi
    # The picture codecs are built on these.
    if [[ ${1:-} == build ]]; then
        has_library libvips || echo libvips-dev
        has_library libturbojpeg || echo libturbojpeg0-dev
    fi
    # CPython's own tests are run on the client.
    if [[ ${1:-} == python ]] && ! python3 -c 'import test.lock_tests' 2>/dev/null; then
        echo libpython3-testsuite
    fi
    if [[ ${1:-} == fuzz || ${1:-} == python ]] && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        echo python3-venv
    fi
    if [[ ${1:-} == drill ]] && ! compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null; then
        echo libfaketime
    fi
    if [[ ${1:-} == node ]]; then
        command -v node >/dev/null || echo nodejs
        command -v npm >/dev/null || echo npm
    fi
}

has_library() {
    compgen -G "/usr/lib/*/$1.so" >/dev/null || compgen -G "/usr/lib*/$1.so" >/dev/null ||
        compgen -G "/usr/local/lib/$1.so" >/dev/null
}

install_packages() {
    local start=${EPOCHREALTIME/[^0-9]/}
    command -v apt-get >/dev/null ||
        die "please install: $* (there is no apt-get here that could do it)"
    began "installing $* (a minute or so)"
    # Once with the terminal, for sudo may ask for the password.
    as_root true || die "please install as root: $*"
    (
        trap 'exit 130' INT TERM HUP
        trap release_servers EXIT
        hold_servers_back
        apt_install "$@"
    ) >>"$LOG/install.log" 2>&1 ||
        fail_with_log "the installation failed" "$LOG/install.log" "try by hand: apt-get update; apt-get install $*"
    disable_units "$@"
    [[ -z $(missing_packages) ]] ||
        die "installed, and still not found: $(missing_packages | paste -sd ' '); see $LOG/install.log"
    done_in "installed" "$start"
}

as_root() {
    if ((EUID)); then sudo -- "$@"; else "$@"; fi
}

apt_install() {
    local apt=(as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300)
    # Lists that are missing or too old make this fail; only then they are fetched.
    "${apt[@]}" install --no-install-recommends -- "$@" && return
    "${apt[@]}" update
    "${apt[@]}" install --no-install-recommends -- "$@"
}

# need_python_with FOLDER LIST WHAT: python_with, where nothing can be done without it.
need_python_with() {
    python_with "$@" ||
        fail_with_log "$3 could not be installed" "$LOG/install.log" "it needs Python 3.10 or later and a package index"
}

# python_with FOLDER LIST WHAT: sets VENV to a Python environment in FOLDER with exactly the packages that LIST pins.
# Another list makes another environment.
python_with() {
    local start=${EPOCHREALTIME/[^0-9]/} folder=$1 list=$2 what=$3
    VENV=$folder/$(sha256sum "$list" | cut -c 1-12)
    [[ ! -e $VENV/installed ]] || return 0
    began "installing $what"
    rm -rf -- "$folder"
    {
        python3 -m venv "$VENV" &&
            "$VENV/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$list"
    } >>"$LOG/install.log" 2>&1 || return
    touch "$VENV/installed"
    done_in "installed" "$start"
}

readonly POLICY=/usr/sbin/policy-rc.d CLUSTER_POLICY=/etc/postgresql-common/createcluster.d/caraway-dev.conf

# A package starts its server when it is installed, and PostgreSQL's makes a cluster.
# We want the programs only.
hold_servers_back() {
    if [[ -e $POLICY && ! -e $POLICY.caraway-dev ]]; then
        as_root mv -- "$POLICY" "$POLICY.caraway-dev"
    fi
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY"
    as_root chmod 755 "$POLICY"
    as_root mkdir -p "${CLUSTER_POLICY%/*}"
    echo 'create_main_cluster = false' | as_root tee "$CLUSTER_POLICY"
}

release_servers() {
    as_root rm -f -- "$POLICY" "$CLUSTER_POLICY"
    if [[ -e $POLICY.caraway-dev ]]; then
        as_root mv -- "$POLICY.caraway-dev" "$POLICY"
    fi
}

# What we have just installed must not come up at the next boot either.
disable_units() {
    local package
    command -v systemctl >/dev/null || return 0
    for package; do
        case $package in
            rabbitmq-server) disable_unit rabbitmq-server.service epmd.socket epmd.service ;;
            redis-server) disable_unit redis-server.service ;;
        esac
    done
}

disable_unit() {
    as_root systemctl disable --quiet -- "$@" >>"$LOG/install.log" 2>&1 || true
}
