#!/usr/bin/env bash
# Compiles each of the given headers (src/...) by itself: one that leans on its includer's includes fails here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
compile() {
  echo "#include \"${1#src/}\"" | g++ -std=c++20 -fsyntax-only -Wall -Wextra -Isrc -DOCTAVO_VERSION='""' -DOCTAVO_TESTDATA='""' -x c++ - ||
    { echo "$1: does not compile alone" >&2; return 1; }
}
export -f compile
printf '%s\n' "$@" | xargs -r -P "$(nproc)" -I{} bash -c 'compile "$@"' _ {}
