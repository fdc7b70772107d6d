#!/bin/sh
# Steps of the image builds, run in the folder that has requirements.lock and the members' pyproject.toml files:
#   install.sh tools                 /opt/build: uv and hatchling in the locked versions
#   install.sh torch cpu|cuda        /opt/memicos: torch from the package index $TORCH_INDEX
#   install.sh requirements MEMBER   /requirements.txt: requirements of the member from the package index
#   install.sh dependencies          /opt/memicos: these requirements in the locked versions
#   install.sh code MEMBER           /opt/code: the member and the members that it needs
set -eu
here=$(dirname "$0")
step=$1
shift

# name and version, without the hashes in the lines below
locked() { sed -n "s/^\($1==[^ ]*\).*/\1/p" requirements.lock; }

# the container's file system is read-only; files that are not valid Python, such as templates, are skipped
compile() { /opt/memicos/bin/python -m compileall -q -j 0 "$@" >/dev/null || :; }

make_venv() { [ -x /opt/memicos/bin/python ] || python3 -m venv "$@" /opt/memicos; }

case $step in
tools)
    python3 -m venv /opt/build
    # pip verifies uv: its entry of the lock, to the line that does not end in a backslash
    sed -n '/^uv==/,/[^\]$/p' requirements.lock >/tmp/uv.txt
    /opt/build/bin/pip install -q --no-cache-dir --disable-pip-version-check --require-hashes -r /tmp/uv.txt
    # uv verifies the hashes of the constraints
    /opt/build/bin/uv pip install -q --no-cache -p /opt/build -c requirements.lock hatchling
    ;;
torch)
    # with pip: this image may use pip to fetch a model. torch's wheels differ by index: pip verifies the hash that the
    # index names, and the lock has none.
    make_venv
    # pip only warns about an index that does not respond; the check below ends the build
    /opt/memicos/bin/pip install -q --no-cache-dir --disable-pip-version-check --no-deps --retries 1 \
        ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} "$(locked torch)"
    version=$(/opt/memicos/bin/python -c 'import importlib.metadata as m; print(m.version("torch"))')
    case $1:$version in
    cpu:*+cpu) ;;
    cuda:*+cpu)
        echo "torch $version has no CUDA: set TORCH_INDEX to an index of CUDA builds" >&2
        exit 1
        ;;
    cpu:*)
        echo "torch $version is not the CPU build: does the package index TORCH_INDEX=$TORCH_INDEX answer?" >&2
        exit 1
        ;;
    esac
    ;;
requirements)
    python3 "$here/members.py" requirements "$@" >/requirements.txt
    ;;
dependencies)
    make_venv --without-pip
    /opt/build/bin/uv pip install -q --no-cache -p /opt/memicos -c requirements.lock -r requirements.txt
    # the code is a layer of its own, so that a change of it does not write the dependencies again
    for packages in /opt/memicos/lib/python3*/site-packages; do echo /opt/code >"$packages/memicos-code.pth"; done
    compile /opt/memicos/lib
    ;;
code)
    for member in $(python3 "$here/members.py" folders "$@"); do
        (cd "$member" && /opt/build/bin/hatchling build -t wheel -d /tmp/wheels >/dev/null)
    done
    /opt/build/bin/uv pip install -q --no-cache --no-deps -p /opt/memicos --target /opt/code /tmp/wheels/*.whl
    compile /opt/code
    ;;
esac
