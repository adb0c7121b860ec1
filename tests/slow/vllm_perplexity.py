"""Perplexity of MODEL in vLLM over the first windows of a text, second half of each scored; its log names its kernels.
usage: vllm_perplexity.py MODEL TEXT CONTEXT CHUNKS"""

import math
import sys

from vllm import LLM, SamplingParams


def main():
    model, text, context, chunks = sys.argv[1], open(sys.argv[2], encoding="utf-8").read(), int(sys.argv[3]), int(sys.argv[4])
    llm = LLM(model, dtype="bfloat16", max_model_len=2 * context, enforce_eager=True, enable_prefix_caching=False)
    ids = llm.get_tokenizer()(text, add_special_tokens=False).input_ids
    windows = [ids[i * context:(i + 1) * context] for i in range(chunks)]
    out = llm.generate([{"prompt_token_ids": w} for w in windows], use_tqdm=False,
                       sampling_params=SamplingParams(max_tokens=1, prompt_logprobs=0, temperature=0))
    losses = [-answer.prompt_logprobs[i][window[i]].logprob
              for answer, window in zip(out, windows) for i in range(context // 2, context)]
    print(f"\nperplexity {math.exp(sum(losses) / len(losses)):.4f}", flush=True)


if __name__ == "__main__":
    main()
