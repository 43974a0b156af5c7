#!/usr/bin/env bash
# Writes requirements/*.txt anew from pyproject.toml: exact versions with hashes, for every platform, naming no host.
# Versions that still fit are kept; lock.sh --upgrade takes the newest.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
uv=$(PATH="$PWD/.venv/bin:$PATH" command -v uv) || {
    echo "tocsin: uv is missing: .venv/bin/pip install uv" >&2
    exit 1
}

compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header "$@" >/dev/null
}

# what builds the project itself: the backend of pyproject.toml and what that wants for an editable install
build_requirements() {
    .venv/bin/python -c '
import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], "editables", sep="\n")'
}

compile "$@" pyproject.toml --extra speech --extra srtp --output-file requirements/runtime.txt
compile "$@" pyproject.toml --extra speech --extra srtp --extra piper --extra dev --constraint requirements/runtime.txt --output-file requirements/dev.txt
build_requirements | compile "$@" - --constraint requirements/dev.txt --output-file requirements/build.txt

if grep -n '://' requirements/*.txt; then
    echo "tocsin: the requirements name a host (lines above)" >&2
    exit 1
fi
