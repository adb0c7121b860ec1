#!/usr/bin/env bash
# Compiles every header under src by itself: a header that leans on its includer's includes fails here.  One that its own
# source includes before anything else is compiled by itself in every build already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
compile() {
  echo "#include \"${1#src/}\"" | g++ -std=c++20 -fsyntax-only -Wall -Wextra -Isrc -DOCTAVO_VERSION='""' -DOCTAVO_TESTDATA='""' -x c++ - ||
    { echo "$1: does not compile alone" >&2; return 1; }
}
export -f compile
first_include() { [ ! -e "$1" ] || grep -m 1 '^#include' "$1" || true; }
git ls-files --cached --others --exclude-standard -- 'src/*.h' | while read -r f; do
  [ -e "$f" ] || continue
  [ "$(first_include "${f%.h}.cc")" = "#include \"${f#src/}\"" ] || echo "$f"
done | xargs -P "$(nproc)" -I{} bash -c 'compile "$@"' _ {}
