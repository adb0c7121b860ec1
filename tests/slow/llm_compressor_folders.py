"""Makes OUT/NAME for each recipe below with llm-compressor's oneshot from a small random Llama, and OUT/NAME.safetensors
with the logits that llm-compressor's own model gives (quantized activations included).
usage: llm_compressor_folders.py OUT TOKENS.json"""

import json
import pathlib
import sys

import torch
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.quantization import QuantizationModifier
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 512


def weights(bits, **more):
    return dict(num_bits=bits, type="int", symmetric=True, dynamic=False, **more)


def group(targets, bits, activations=None, **more):
    return dict(targets=targets, weights=weights(bits, **more), input_activations=activations)


PER_TOKEN = dict(num_bits=8, type="int", symmetric=True, strategy="token", dynamic=True)

RECIPES = {
    "w8a16-preset": lambda: QuantizationModifier(targets="Linear", scheme="W8A16", ignore=["lm_head"]),
    "w4a16-preset": lambda: QuantizationModifier(targets="Linear", scheme="W4A16", ignore=["lm_head"]),
    "w8a8-preset": lambda: QuantizationModifier(targets="Linear", scheme="W8A8", ignore=["lm_head"]),
    "w8a8-tensor": lambda: QuantizationModifier(
        config_groups={"group_0": group(["Linear"], 8, PER_TOKEN, strategy="tensor")}, ignore=["lm_head"]),
    "w8a16-channel-head": lambda: QuantizationModifier(
        config_groups={"group_0": group(["Linear"], 8, strategy="channel")}, ignore=[]),
    "mixed": lambda: QuantizationModifier(
        config_groups={
            "attention": group([r"re:.*self_attn\.(q|k|v|o)_proj$"], 8, PER_TOKEN, strategy="channel"),
            "mlp": group([r"re:.*mlp\.(gate|up)_proj$"], 4, strategy="group", group_size=32),
        },
        ignore=["lm_head", r"re:.*layers\.0\.mlp\..*"]),
    "gptq-w4a16-actorder": lambda: GPTQModifier(
        config_groups={"group_0": group(["Linear"], 4, strategy="group", group_size=32, actorder="static")},
        ignore=["lm_head"]),
}


def make_base():
    torch.manual_seed(1)
    config = LlamaConfig(vocab_size=VOCABULARY, hidden_size=128, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4,
                         num_key_value_heads=2, head_dim=32, max_position_embeddings=256, tie_word_embeddings=False)
    config.architectures = ["LlamaForCausalLM"]
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        if parameter.ndim == 2:  # a random model of the usual size of logits
            torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    return model


def main():
    out, sequences = pathlib.Path(sys.argv[1]), json.loads(pathlib.Path(sys.argv[2]).read_text())
    samples = Dataset.from_list([{"input_ids": torch.randint(0, VOCABULARY, (64,)).tolist(), "attention_mask": [1] * 64}
                                 for _ in range(8)])
    # It wants a tokenizer beside tokens.
    words = Tokenizer(WordLevel({str(i): i for i in range(VOCABULARY)}, unk_token="0"))
    processor = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="0")
    make_base().save_pretrained(out / "base")
    for name, recipe in RECIPES.items():
        model = LlamaForCausalLM.from_pretrained(out / "base", dtype=torch.float32)
        oneshot(model=model, dataset=samples, processor=processor, recipe=recipe(), max_seq_length=64, num_calibration_samples=8)
        logits = {}
        with torch.no_grad():
            for i, ids in enumerate(sequences):
                logits[f"logits.{i}"] = model(torch.tensor([ids])).logits[0].float().contiguous()
        model.save_pretrained(out / name, save_compressed=True)
        save_file(logits, out / f"{name}.safetensors")
        print("made", name, flush=True)


if __name__ == "__main__":
    main()
