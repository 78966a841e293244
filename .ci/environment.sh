#!/bin/sh
# Makes the virtual environment $1 and installs every pinned dependency into it; with uv where there is one, else with pip.
# An environment that fits already is kept, so that a second call takes no time.
set -eu

environment=$1
python=$(sh .ci/require.sh)

version_of() {
    "$1" -c 'import sys; print(sys.version)' 2>/dev/null || echo none
}

fits() { # an environment that uv made has no pip, and is of no use once uv is gone
    [ "$(version_of "$environment/bin/python")" = "$(version_of "$python")" ] &&
        { [ "$installer" = uv ] || "$environment/bin/python" -c 'import pip' 2>/dev/null; }
}

if uv --version >/dev/null 2>&1; then installer=uv; else installer=pip; fi
echo "tickrail: installing the pinned dependencies into $environment ($python, $installer)"
if [ "$installer" = uv ]; then
    fits || uv venv --quiet --clear --python "$python" "$environment"
    uv pip install --quiet --python "$environment/bin/python" --requirements requirements/constraints.txt
else
    fits || "$python" -m venv --clear "$environment"
    # maturin hands the dependency group to pip, which knows groups since 25.1; Python 3.11 brings one of 2023.
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --requirement requirements/constraints.txt
fi
