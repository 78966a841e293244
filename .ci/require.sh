#!/bin/sh
# Checks what cannot be installed for the user: cargo, a linker and Python, each new enough.
# Prints the Python to use; where something is missing, one line says what and how to get it, and the exit code is 1.
# With "lint" as its argument it also checks for rustfmt and clippy. Only shell built-ins, so that a bare PATH is no obstacle.
set -eu

python_minimum=3.11
rust_minimum=$(while IFS='= ' read -r key value _; do
    [ "$key" = rust-version ] && value=${value#\"} && echo "${value%\"}" && break
done <Cargo.toml)

missing() {
    echo "tickrail: $1" >&2
    exit 1
}

at_least() { # version, minimum: compares major and minor
    major=${1%%.*} rest=${1#*.}
    minor=${rest%%.*}
    [ "$major" -gt "${2%%.*}" ] || { [ "$major" -eq "${2%%.*}" ] && [ "$minor" -ge "${2#*.}" ]; }
}

check_cargo() {
    how="get it from https://rustup.rs, or run 'rustup update stable'"
    reply=$(cargo --version 2>/dev/null) || missing "cargo is missing (Rust $rust_minimum or newer): $how"
    reply=${reply#cargo }
    at_least "${reply%% *}" "$rust_minimum" ||
        missing "cargo ${reply%% *} is too old (Rust $rust_minimum or newer): $how"
    command -v cc >/dev/null || command -v clang >/dev/null || command -v gcc >/dev/null ||
        missing "a C linker is missing: install gcc or clang (Debian, Ubuntu: 'apt install build-essential')"
}

check_lint() {
    cargo fmt --version >/dev/null 2>&1 || missing "rustfmt is missing: 'rustup component add rustfmt'"
    cargo clippy --version >/dev/null 2>&1 || missing "clippy is missing: 'rustup component add clippy'"
}

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

find_python() {
    found=
    for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
        version=$(version_of "$candidate") || continue
        if at_least "$version" "$python_minimum"; then
            python=$candidate
            return
        fi
        found=${found:-$candidate is $version}
    done
    how="install it from your distribution or https://www.python.org/downloads, or name one with PYTHON=..."
    [ -z "$found" ] || missing "Python is too old ($found; $python_minimum or newer is needed): $how"
    missing "Python is missing ($python_minimum or newer): $how"
}

check_venv() {
    uv --version >/dev/null 2>&1 || "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
        missing "$python has no venv module: install it (Debian, Ubuntu: 'apt install $python-venv') or install uv"
}

check_cargo
[ "${1:-}" != lint ] || check_lint
find_python
check_venv
echo "$python"
