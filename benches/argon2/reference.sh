#!/bin/sh
# Builds the C reference implementation of Argon2, from the sources that PyPI's
# argon2-cffi-bindings carries, with the vector instructions of a processor: `native` is this one,
# `x86-64-v3` one with AVX2 and without AVX-512.
#
# usage: reference.sh DIRECTORY PROCESSOR   leaves DIRECTORY/reference-PROCESSOR there
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"
[ ! -x "reference-$2" ] || exit 0

cc=${CC:-cc}
command -v "$cc" >/dev/null || { echo "there is no C compiler ($cc)" >&2; exit 1; }
python3 -m pip download --quiet --no-deps --no-binary argon2-cffi-bindings \
    'argon2-cffi-bindings==26.2.0' >&2
tar -xzf argon2_cffi_bindings-*.tar.gz
c=$(echo argon2_cffi_bindings-*/extras/libargon2)
# opt.c is for x86 only; elsewhere the reference has no vector instructions.
kernel=$c/src/opt.c
"$cc" -march="$2" -I "$c/include" -I "$c/src" -c "$kernel" -o /dev/null 2>/dev/null ||
    kernel=$c/src/ref.c
"$cc" -O3 -march="$2" -DARGON2_NO_THREADS -I "$c/include" -I "$c/src" -o "reference-$2" \
    "$here/reference.c" "$c/src/argon2.c" "$c/src/core.c" "$c/src/encoding.c" \
    "$c/src/blake2/blake2b.c" "$kernel"
