#!/usr/bin/env bash
# Installs the real counterparts that the tests talk to: Debian packages, only the missing ones, none of them started;
# and the npm package of the SMSC, into tests/peers/node_modules.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

say() { printf 'tocsin: %s\n' "$*"; }
fail() { printf 'tocsin: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

missing_packages() {
    has redis-server || echo redis-server
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || has initdb || echo postgresql
    has postfix || echo postfix
    has prometheus-alertmanager || echo prometheus-alertmanager
    has sipp || echo sip-tester
    has baresip || echo baresip-core
    has kamailio || echo kamailio
    compgen -G '/usr/lib/*/kamailio/modules/tls.so' >/dev/null || echo kamailio-tls-modules
    has chromium || echo chromium
    has nginx || echo nginx-light
    has caddy || echo caddy
    has strace || echo strace
    has openssl || echo openssl
    has node || echo nodejs
    has npm || echo npm
}

# Our peers run from the tests, with files of their own: a package's own service stays down, now and after a reboot.
POLICY=/usr/sbin/policy-rc.d
policy_is_ours=false
hold_services() {
    [ -e "$POLICY" ] && return
    policy_is_ours=true
    trap release_services EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$POLICY" >/dev/null
    "${as_root[@]}" chmod 755 "$POLICY"
}
release_services() {
    if $policy_is_ours; then "${as_root[@]}" rm -f "$POLICY"; fi
}
disable_services() {
    has systemctl || return 0
    local package
    for package in "$@"; do
        case $package in
            redis-server | postgresql | postfix | prometheus-alertmanager | kamailio | nginx-light | caddy)
                "${as_root[@]}" systemctl disable --quiet "${package%-light}" >/dev/null 2>&1 || true ;;
        esac
    done
}

apt_install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o APT::Color=0 \
        install --yes --no-install-recommends "$@" </dev/null >"$log" 2>&1
}

install_packages() {
    has apt-get || fail "missing, and this is no Debian: please install $*"
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo)
        [ -t 0 ] || as_root=(sudo -n)
        has sudo && "${as_root[@]}" true || fail "the tests need packages that only root can install: apt-get install $*"
    fi
    log=$(mktemp)
    say "installing Debian packages for the tests: $*"
    hold_services
    # postfix asks what it shall be; unasked it would listen to the world
    echo 'postfix postfix/main_mailer_type select Local only' | "${as_root[@]}" debconf-set-selections 2>/dev/null || true
    if ! apt_install "$@"; then
        say "refreshing the package lists"
        "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 update </dev/null >"$log" 2>&1 && apt_install "$@" || {
            tail -n 30 "$log" >&2
            fail "the packages could not be installed (the lines above say why): $*"
        }
    fi
    rm -f "$log"
    disable_services "$@"
}

install_npm_packages() {
    cd tests/peers
    local stamp=node_modules/.installed
    sha256sum package-lock.json | cmp -s - "$stamp" && return
    say "installing the npm packages of the SMSC in tests/peers/node_modules"
    npm ci --ignore-scripts --no-audit --no-fund --no-progress --no-update-notifier --loglevel=error </dev/null >/dev/null
    sha256sum package-lock.json >"$stamp"
}

mapfile -t packages < <(missing_packages)
if [ "${#packages[@]}" -gt 0 ]; then install_packages "${packages[@]}"; fi
install_npm_packages
