#!/bin/sh
# Writes requirements/constraints.txt anew: the newest releases that pyproject.toml allows. Names no index.
set -eu

target=requirements/constraints.txt
trap 'rm -f "$target.new"' EXIT
{
    echo "# The whole development environment, pinned, for every supported interpreter. Written by \`make constraints\`; do not edit."
    uv pip compile --quiet --upgrade pyproject.toml --group dev --group bench --all-extras --universal --python-version 3.11 \
        --no-header --no-annotate --no-emit-index-url
} >"$target.new"
mv "$target.new" "$target"
