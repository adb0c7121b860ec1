"""Speed of a model in vLLM on the CPU; run.py starts it in vLLM's own environment.
usage: vllm_speed.py '{"model": DIR, "compiled": BOOL, "repeats": N, "cases": {NAME: {"sequences", "prompt", "write"}}}'
`write` 0 measures reading the prompts, else writing so many tokens behind them.  The last line is JSON."""
import json
import random
import statistics
import sys
import time

import torch
import vllm


def seconds(llm, prompts, tokens):
    sampling = vllm.SamplingParams(max_tokens=tokens, min_tokens=tokens, ignore_eos=True, temperature=0, detokenize=False)
    start = time.perf_counter()
    llm.generate(prompts, sampling, use_tqdm=False)
    return time.perf_counter() - start


def measure(llm, vocabulary, case, repeats):
    """Medians; one run before them warms up."""
    ids = random.Random(1)
    prompts = [{"prompt_token_ids": [ids.randrange(10, vocabulary) for _ in range(case["prompt"])]}
               for _ in range(case["sequences"])]
    first, all_of_it = [], []
    for _ in range(repeats + 1):
        first.append(seconds(llm, prompts, 1))
        if case["write"]:
            all_of_it.append(seconds(llm, prompts, case["write"] + 1))
    reading = statistics.median(first[1:])
    if not case["write"]:
        return case["sequences"] * case["prompt"] / reading
    # The first of the tokens comes from reading the prompts.
    return case["sequences"] * case["write"] / (statistics.median(all_of_it[1:]) - reading)


def main():
    request = json.loads(sys.argv[1])
    cases = request["cases"]
    longest = max(case["prompt"] + case["write"] + 1 for case in cases.values())
    llm = vllm.LLM(request["model"], dtype="bfloat16", max_model_len=-(-longest // 128) * 128,
                   enforce_eager=not request["compiled"], enable_prefix_caching=False,
                   max_num_batched_tokens=max(2048, max(c["sequences"] * c["prompt"] for c in cases.values())),
                   max_num_seqs=max(case["sequences"] for case in cases.values()))
    vocabulary = llm.llm_engine.model_config.get_vocab_size()
    figures = {name: measure(llm, vocabulary, case, request["repeats"]) for name, case in cases.items()}
    print(json.dumps({"tokens_per_s": figures, "vllm": vllm.__version__, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
