"""`octavo pull` of files that gguf-py writes: every block type, and SentencePiece vocabularies, against the libraries that
define them."""

import io

import gguf
import numpy as np
import pytest
import sentencepiece
import tokenizers
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from safetensors.numpy import load_file

from conftest import TEXT, octavo

HIDDEN, INNER, HEADS = 256, 512, 4
# Where a block keeps its halves, which random bits would often make NaN.
HALVES = {Type.Q8_0: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q4_K: [0, 2],
          Type.Q5_K: [0, 2], Type.Q6_K: [208]}


def random_blocks(rng, kind, rows, columns):
    elements, size = GGML_QUANT_SIZES[kind]
    data = rng.integers(0, 256, (rows, columns // elements, size), dtype=np.uint8)
    for at in HALVES[kind]:
        data[:, :, at:at + 2] = rng.normal(0, 0.05, (rows, columns // elements, 1)).astype(np.float16).view(np.uint8)
    return data.reshape(rows, -1)


def start_llama(path, vocab_size):
    """A llama file of one block, without its tokenizer and weights."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(256)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocab_size)
    return writer


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_weights(writer, vocab_size, linear):
    """`linear` gives (data, type) of a matrix; the rest is ones."""
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(name + ".weight", np.ones(HIDDEN, np.float32))
    shapes = {"token_embd": (vocab_size, HIDDEN), "blk.0.attn_q": (HIDDEN, HIDDEN), "blk.0.attn_k": (HIDDEN, HIDDEN),
              "blk.0.attn_v": (HIDDEN, HIDDEN), "blk.0.attn_output": (HIDDEN, HIDDEN), "blk.0.ffn_gate": (INNER, HIDDEN),
              "blk.0.ffn_up": (INNER, HIDDEN), "blk.0.ffn_down": (HIDDEN, INNER)}
    for name, shape in shapes.items():
        data, kind = linear(*shape)
        writer.add_tensor(name + ".weight", data, raw_dtype=kind)


@pytest.mark.parametrize("kind", list(HALVES), ids=lambda kind: kind.name)
def test_blocks(kind, tmp_path):
    rng = np.random.default_rng(int(kind))
    made = {}

    def linear(rows, columns):
        data = random_blocks(rng, kind, rows, columns)
        made[rows, columns] = gguf.dequantize(data, kind)
        return data, kind

    writer = start_llama(tmp_path / "m.gguf", 8)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(["a", "b", "c", "d", "ab", "cd", "e", "f"])
    writer.add_token_merges(["a b", "c d"])
    add_weights(writer, 8, linear)
    finish(writer)
    octavo("pull", tmp_path / "m.gguf", "--out", tmp_path / "out", "--dtype", "f32")
    got = load_file(tmp_path / "out/model.safetensors")
    # ffn_up was the last of its shape; Q and K have their rows in another order.
    for name, shape in (("mlp.up_proj", (INNER, HIDDEN)), ("mlp.down_proj", (HIDDEN, INNER)), ("self_attn.o_proj", (HIDDEN, HIDDEN))):
        assert np.array_equal(got[f"model.layers.0.{name}.weight"], made[shape]), name
    assert np.array_equal(got["model.embed_tokens.weight"], made[8, HIDDEN])


@pytest.fixture(scope="module")
def trained():
    """A SentencePiece model of the kind that Llama has: BPE with byte fallback, digits apart, text as it is."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.read_text(encoding="utf-8").splitlines()), model_writer=out, model_type="bpe", vocab_size=2000,
        byte_fallback=True, split_digits=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        user_defined_symbols=["<|user|>"], allow_whitespace_only_pieces=True, minloglevel=2)
    return sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())


def kind_of(model, i):
    return 2 if model.is_unknown(i) else 3 if model.is_control(i) else 6 if model.is_byte(i) else \
        4 if model.id_to_piece(i) == "<|user|>" else 1


def test_sentencepiece(trained, tmp_path):
    size = trained.get_piece_size()
    writer = start_llama(tmp_path / "m.gguf", size)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([trained.id_to_piece(i) for i in range(size)])
    writer.add_token_scores([trained.get_score(i) for i in range(size)])
    writer.add_token_types([kind_of(trained, i) for i in range(size)])
    writer.add_bos_token_id(trained.bos_id())
    writer.add_eos_token_id(trained.eos_id())
    writer.add_unk_token_id(trained.unk_id())
    add_weights(writer, size, lambda rows, columns: (np.zeros((rows, columns), np.float16), Type.F16))
    finish(writer)
    octavo("pull", tmp_path / "m.gguf", "--out", tmp_path / "out")
    tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "out/tokenizer.json"))
    lines = [line for line in TEXT.read_text(encoding="utf-8").splitlines() if line][:2000]
    lines += ["caf\u00e9 \u4f60\u597d \U0001f600", "two  spaces   three", " in front", "12345 67", "\ttab", "a" * 300, "\u2581mark"]
    different = [line for line in lines if tokenizer.encode(line, add_special_tokens=False).ids != trained.encode(line)]
    print(f"{len(lines)} lines, {len(different)} with other tokens than SentencePiece's")
    assert not different, different[:3]
    assert tokenizer.encode("hi").ids[0] == trained.bos_id()
    for line in lines[:200]:
        assert tokenizer.decode(trained.encode(line)) == trained.decode(trained.encode(line))
    # The file that octavo writes of that folder says the same again.
    octavo("export", tmp_path / "out", "--out", tmp_path / "again.gguf")
    octavo("pull", tmp_path / "again.gguf", "--out", tmp_path / "again")
    assert (tmp_path / "again/tokenizer.json").read_text() == (tmp_path / "out/tokenizer.json").read_text()
