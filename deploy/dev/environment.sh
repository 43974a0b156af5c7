#!/usr/bin/env bash
# Makes the Python environment in .venv: environment.sh runtime | development. Installs nothing outside the checkout.
# A second run with the same requirements does nothing.
set -euo pipefail

kind=${1:-runtime}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'tocsin: %s\n' "$*"; }
fail() { printf 'tocsin: %s\n' "$*" >&2; exit 1; }

case $kind in
    runtime) requirements=(requirements/build.txt requirements/runtime.txt) kinds=(runtime) ;;
    # dev.txt holds everything of runtime.txt in the same versions
    development) requirements=(requirements/build.txt requirements/dev.txt) kinds=(runtime development) ;;
    *) fail "environment.sh takes runtime or development, not $kind" ;;
esac

# What an installed environment was made from: one stamp for each kind.
fingerprint() {
    case $1 in
        runtime) sha256sum pyproject.toml requirements/build.txt requirements/runtime.txt ;;
        development) sha256sum pyproject.toml requirements/build.txt requirements/dev.txt ;;
    esac
}

# Scripts in an environment name its place: a copied checkout needs a new one.
in_place() { [ ! -e .venv/.checkout ] || [ "$(cat .venv/.checkout)" = "$PWD" ]; }

installed() {
    [ -x .venv/bin/python ] && [ -x .venv/bin/tocsin ] && in_place && fingerprint "$1" | cmp -s - ".venv/.installed-$1"
}

# The first Python that is new enough and whole; the sentence of the last obstacle otherwise.
find_python() {
    local candidate missing='Python 3.11 or newer is missing: apt-get install python3 python3-venv'
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3 python3.14; do
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue
        if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
        missing="the Python venv module is missing: apt-get install $(venv_package "$candidate")"
    done
    fail "$missing"
}

venv_package() {
    case $1 in
        python3.*) printf '%s-venv\n' "$1" ;;
        *) printf 'python3-venv\n' ;;
    esac
}

usable() {
    in_place && .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 &&
        .venv/bin/python -m pip --version >/dev/null 2>&1
}

# Runs pip with its output in a log; shows what it fetches, and everything when it fails.
run_pip() {
    if ! .venv/bin/python -m pip --no-input install --progress-bar off "$@" </dev/null 2>&1 |
        tee .venv/install.log | sed -un '/\.metadata /d; s/^ *\(Downloading\|Using cached\) \([^ ]*\/\)\?\([^ /]*\) .*/  \3/p'; then
        cat .venv/install.log >&2
        fail "the packages could not be installed (the lines above say why)"
    fi
}

if installed "$kind"; then exit 0; fi

# Two runs at once: the second one waits for the first. The lock ends with this script.
exec 9>.venv.lock
flock -n 9 || { say "waiting for another run that makes .venv"; flock 9; }
if installed "$kind"; then exit 0; fi

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0
if ! usable; then
    python=$(find_python)
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
    pwd >.venv/.checkout
fi

rm -f .venv/.installed-* # half an installation is none
say "installing $(cat "${requirements[@]}" | grep -c '==') packages for $kind (a minute or two the first time)"
run_pip --require-hashes "${requirements[@]/#/--requirement=}"
run_pip --no-deps --no-build-isolation --no-index --editable .
for each in "${kinds[@]}"; do
    fingerprint "$each" >".venv/.installed-$each"
done
say "the environment is ready"
