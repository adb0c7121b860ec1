#!/usr/bin/env bash
# Speed of the demo's model, 16-bit and INT8, by turns on this machine.
# Usage: bench.sh FOLDER   (filled by demo_inputs.sh; build/release/octavo must be there)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
octavo=$PWD/build/release/octavo
folder=$1/bench
mkdir -p "$folder"
[ -d "$folder/base" ] || "$octavo" pull "$1"/SmolLM2-135M-Instruct.Q4_1.gguf --out "$folder/base"
rm -rf "$folder/w8a16"
"$octavo" quantize "$folder/base" --out "$folder/w8a16"
for round in 1 2; do
  for model in base w8a16; do
    printf '\n== %s, round %s\n' "$model" "$round"
    "$octavo" bench "$folder/$model" --prefill 512 --decode 64 --batch 1,8
  done
done
