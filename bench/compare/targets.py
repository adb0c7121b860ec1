"""What octavo is to reach, and whether figures reach it."""
import dataclasses

ONE, EIGHT, SIXTEEN = "decode, 1 sequence", "decode, 8 sequences", "decode, 16 sequences"
PREFILL, PROMPTS, PAIR = "prefill, 512 tokens", "prefill, 8 x 128 tokens", "perplexity and KLD of a pair, 20 x 512 tokens"
LIMIT, LINEAR, ATTENTION = "fraction_of_limit", "linear_fraction_of_peak", "attention_share"
LLAMA, VLLM_INT8, VLLM_BF16 = "llama.cpp Q8_0", "vLLM W8A8", "vLLM BF16"
WORDS = {LIMIT: "of the limit", LINEAR: "linear layers, of the peak", ATTENTION: "attention, share of the time"}


@dataclasses.dataclass(frozen=True)
class Target:
    """`against` is a field of octavo bench, or the contestant whose speed is 1.  `bound` is the least, or the most."""
    section: str
    case: str
    contestant: str
    against: str
    bound: float
    at_most: bool = False

    @property
    def text(self):
        return WORDS.get(self.against) or f"against {self.against}"

    @property
    def wanted(self):
        share = self.against in WORDS
        return f"{'<' if self.at_most else '>='} {self.bound:.2f}" + ("" if share else "x")

    def met(self, value):
        return value < self.bound if self.at_most else value >= self.bound


W8A8, W8A16, W8A16_BF16, W4A16 = "octavo w8a8", "octavo w8a16", "octavo w8a16 bf16", "octavo w4a16-g128"
TARGETS = [
    Target("decode", ONE, W8A8, LIMIT, 0.85),
    Target("decode", ONE, W8A8, LLAMA, 1.35),
    Target("decode", ONE, W8A16, LIMIT, 0.80),
    Target("prefill", PREFILL, W8A8, LINEAR, 0.85),
    Target("prefill", PREFILL, W8A8, LIMIT, 0.55),
    Target("prefill", PREFILL, W8A8, LLAMA, 4.0),
    Target("prefill", PREFILL, W8A8, ATTENTION, 0.25, at_most=True),
    Target("prefill", PREFILL, W8A16_BF16, LINEAR, 0.80),
    Target("prompts", PROMPTS, W8A8, VLLM_INT8, 1.15),
    Target("prompts", PROMPTS, W8A16_BF16, VLLM_BF16, 1.05),
    *(Target("batch", case, W8A8, peer, bound) for case in (EIGHT, SIXTEEN) for peer, bound in ((VLLM_INT8, 2.5), (LLAMA, 3.5))),
    Target("pair", PAIR, W8A16, LLAMA, 1.5),
    Target("pair", PAIR, W8A8, LLAMA, 2.0),
    Target("1b", ONE, W8A8, LIMIT, 0.93),
    Target("1b", ONE, W8A8, LLAMA, 1.03),
    Target("1b", ONE, W4A16, LIMIT, 0.90),
    Target("1b", SIXTEEN, W8A8, LLAMA, 4.0),
    Target("1b", PREFILL, W8A8, LIMIT, 0.70),
    Target("1b", PREFILL, W8A8, LLAMA, 3.5),
    Target("3b", ONE, W8A8, LIMIT, 0.93),
    Target("3b", ONE, W8A8, LLAMA, 1.03),
    Target("3b", ONE, W4A16, LIMIT, 0.90),
    Target("long", "decode behind 8,192 tokens, llama-3.2-1b", W8A8, LIMIT, 0.85),
    Target("long", "decode behind 8,192 tokens, llama-3.2-3b", W8A8, LIMIT, 0.85),
]


def value_of(target, sections):
    """The figure that the target is about, or None if it was not measured."""
    case = sections.get(target.section, {}).get("cases", {}).get(target.case, {})
    octavo = case.get(target.contestant)
    if octavo is None:
        return None
    if target.against in WORDS:
        return octavo["details"].get(target.against)
    return octavo["ratios"].get(target.against, {}).get("median")


def judge(sections):
    """[{target, value, wanted, met}]; met is None where nothing was measured."""
    out = []
    for target in TARGETS:
        value = value_of(target, sections)
        out.append({"section": target.section, "case": target.case, "contestant": target.contestant, "what": target.text,
                    "wanted": target.wanted, "value": value, "met": None if value is None else target.met(value)})
    return out
