"""What is compared: each section is a list of runs that take turns."""
from peers import Case

DECODE = [Case("decode, 1 sequence", 1, 128, 64)]
BATCH = [Case("decode, 8 sequences", 8, 128, 64), Case("decode, 16 sequences", 16, 128, 64)]
PREFILL = Case("prefill, 512 tokens", 1, 512)
PROMPTS = Case("prefill, 8 x 128 tokens", 8, 128)
PAIR = Case("perplexity and KLD of a pair, 20 x 512 tokens", 20, 512)
SIXTEEN = Case("decode, 16 sequences", 16, 128, 32)
LONG = {shape: Case(f"decode behind 8,192 tokens, {shape}", 1, 8192, 16) for shape in ("llama-3.2-1b", "llama-3.2-3b")}


def decode(octavo, llama, vllm, inputs):
    yield octavo.bench("octavo w8a8", inputs.smollm2_quantized("w8a8"), DECODE)
    yield octavo.bench("octavo w8a16", inputs.smollm2_quantized("w8a16"), DECODE)
    yield from llama.one_sequence("llama.cpp Q8_0", inputs.smollm2_gguf("Q8_0"), DECODE[0])


def prefill(octavo, llama, vllm, inputs):
    yield octavo.bench("octavo w8a8", inputs.smollm2_quantized("w8a8"), [PREFILL])
    yield octavo.bench("octavo w8a16 bf16", inputs.smollm2_quantized("w8a16"), [PREFILL], compute="bf16")
    yield from llama.one_sequence("llama.cpp Q8_0", inputs.smollm2_gguf("Q8_0"), PREFILL)


def batch(octavo, llama, vllm, inputs):
    yield octavo.bench("octavo w8a8", inputs.smollm2_quantized("w8a8"), BATCH)
    yield octavo.bench("octavo w8a8 kv8", inputs.smollm2_quantized("w8a8"), BATCH, kv="8")
    yield from vllm.sequences("vLLM W8A8", inputs.smollm2_quantized("w8a8"), BATCH)
    yield from llama.sequences("llama.cpp Q8_0", inputs.smollm2_gguf("Q8_0"), BATCH)


def prompts(octavo, llama, vllm, inputs):
    yield octavo.bench("octavo w8a8", inputs.smollm2_quantized("w8a8"), [PROMPTS])
    yield octavo.bench("octavo w8a16 bf16", inputs.smollm2_quantized("w8a16"), [PROMPTS], compute="bf16")
    yield from vllm.sequences("vLLM W8A8", inputs.smollm2_quantized("w8a8"), [PROMPTS])
    yield from vllm.sequences("vLLM BF16", inputs.smollm2(), [PROMPTS])
    yield from llama.sequences("llama.cpp Q8_0", inputs.smollm2_gguf("Q8_0"), [PROMPTS])


def pair(octavo, llama, vllm, inputs):
    base = inputs.smollm2()
    yield octavo.evaluate("octavo w8a16", inputs.smollm2_quantized("w8a16"), base, inputs.text, PAIR)
    yield octavo.evaluate("octavo w8a8", inputs.smollm2_quantized("w8a8"), base, inputs.text, PAIR)
    yield from llama.divergence("llama.cpp Q8_0", inputs.smollm2_gguf("F16"), inputs.smollm2_gguf("Q8_0"), inputs.text, PAIR)


def llama_1b(octavo, llama, vllm, inputs):
    shape = "llama-3.2-1b"
    yield octavo.bench("octavo w8a8", inputs.shape(shape, "w8a8"), [*DECODE, PREFILL])
    yield octavo.bench("octavo w4a16-g128", inputs.shape(shape, "w4a16-g128"), DECODE)
    # Apart: a call of bench writes the same number of tokens for each batch.
    yield octavo.bench("octavo w8a8", inputs.shape(shape, "w8a8"), [SIXTEEN])
    yield from llama.one_sequence("llama.cpp Q8_0", inputs.shape_gguf(shape), DECODE[0])
    yield from llama.one_sequence("llama.cpp Q8_0", inputs.shape_gguf(shape), PREFILL)
    yield from llama.sequences("llama.cpp Q8_0", inputs.shape_gguf(shape), [SIXTEEN], repeats=1)


def llama_3b(octavo, llama, vllm, inputs):
    shape = "llama-3.2-3b"
    yield octavo.bench("octavo w8a8", inputs.shape(shape, "w8a8"), DECODE)
    yield octavo.bench("octavo w4a16-g128", inputs.shape(shape, "w4a16-g128"), DECODE)
    yield from llama.one_sequence("llama.cpp Q8_0", inputs.shape_gguf(shape), DECODE[0])


def long_context(octavo, llama, vllm, inputs):
    for name, case in LONG.items():
        yield octavo.bench("octavo w8a8", inputs.shape(name, "w8a8"), [case], kv="8")


SECTIONS = {"decode": decode, "prefill": prefill, "batch": batch, "prompts": prompts, "pair": pair, "1b": llama_1b,
            "3b": llama_3b, "long": long_context}
