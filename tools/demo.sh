#!/usr/bin/env bash
# The demo: a real model from a download to a served INT8 artifact, by one `octavo run`, in FOLDER.
# Usage: demo.sh FOLDER   (build/release/octavo must be there)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/lib.sh
octavo=$PWD/build/release/octavo
tools/demo_inputs.sh "$1"
folder=$(realpath "$1")
export OCTAVO_HOME=$folder/home
cp examples/octavo.toml examples/suite.toml examples/policy.toml examples/prompts.jsonl "$folder/"

say "octavo run $1/octavo.toml"
"$octavo" run "$folder/octavo.toml"

say "octavo serve demo"
log=$folder/serve.log
"$octavo" serve demo --port 0 --require-int8 > "$log" 2>&1 &
server=$!
trap 'kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true' EXIT
url=
for _ in $(seq 600); do
  url=$(sed -n 's/^serving .* at \(http:.*\)$/\1/p' "$log")
  [ -z "$url" ] && kill -0 "$server" 2> /dev/null || break
  sleep 0.1
done
[ -n "$url" ] || { cat "$log" >&2; die "the server did not start"; }
say "$(tail -n 1 "$log")"

question='What is the difference between weather and climate? Answer in two sentences.'
say "asking it: $question"
curl -sS --fail-with-body "$url/v1/chat/completions" -H 'Content-Type: application/json' \
  -d "{\"model\": \"demo\", \"max_tokens\": 96, \"temperature\": 0, \"messages\": [{\"role\": \"user\", \"content\": \"$question\"}]}" \
  > "$folder/answer.json"
python3 -c 'import json, sys; print("\n  " + json.load(open(sys.argv[1]))["choices"][0]["message"]["content"] + "\n")' "$folder/answer.json"

say "which kernels gave that answer ($url/octavo/kernels):"
curl -sS --fail-with-body "$url/octavo/kernels" > "$folder/kernels.json"
python3 - "$folder/kernels.json" <<'PYTHON'
import collections, json, sys
report = json.load(open(sys.argv[1]))
count = collections.Counter((l["stored"], l["kernel"], l["isa"]) for l in report["layers"])
for (stored, kernel, isa), layers in sorted(count.items(), key=lambda item: -item[1]):
    print(f"  {layers} layers stored as {stored} ran {kernel} on {isa}")
print(f"  fallbacks: {len(report['fallbacks'])}, INT8 share of linear weights: {report['int8_fraction_of_linear_weights']:.1%}")
PYTHON
say "done; the channel stays: OCTAVO_HOME=$1/home build/release/octavo serve demo"
