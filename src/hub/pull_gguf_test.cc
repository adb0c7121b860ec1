// What becomes of a GGUF file: the same model, in the names and rows of Hugging Face.
#include <cmath>

#include <gtest/gtest.h>

#include "core/temp_folder.h"
#include "format/manifest.h"
#include "hub/gguf_config.h"
#include "hub/hub_fixture.h"
#include "hub/pull.h"
#include "text/tokenizer.h"

namespace octavo::hub {
namespace {

using core::Json;
using format::GgufBuilder;
using format::GgufType;
using format::ModelFolder;
using tensor::DType;

class PullGgufTest : public testing::Test {
 protected:
  core::Result<PullSummary> Pull(const GgufBuilder& builder, const PullOptions& options = {}) {
    OCTAVO_RETURN_IF_ERROR(core::WriteFileAtomic(temp_ / "m.gguf", builder.Build()));
    return hub::Pull(temp_ / "m.gguf", out_, options, core::SilentProgress(), cancel_);
  }
  // The error of a pull, which must name the file and leave nothing behind.
  std::string PullError(const GgufBuilder& builder, const PullOptions& options = {}) {
    const auto pulled = Pull(builder, options);
    if (pulled.ok()) return "pulled";
    EXPECT_EQ(core::ListFolder(temp_.path()).value(), std::vector<std::string>{"m.gguf"});
    EXPECT_EQ(pulled.error().message().rfind(temp_ / "m.gguf", 0), 0U) << pulled.error().message();
    EXPECT_EQ(pulled.error().message().find('\n'), std::string::npos);
    return pulled.error().message();
  }
  void ExpectError(const GgufBuilder& builder, const std::string& part,
                   const PullOptions& options = {}) {
    const std::string error = PullError(builder, options);
    EXPECT_NE(error.find(part), std::string::npos) << "got: " << error << "\nexpected: " << part;
  }
  static GgufBuilder Llama() {
    return GgufOf(ModelFolder::Open(kModels + "llama").value(), "llama");
  }

  core::TempFolder temp_;
  std::string out_ = temp_ / "out";
  core::CancelToken cancel_;
};

TEST_F(PullGgufTest, GivesBackTheFolderItWasMadeOf) {
  const struct {
    const char* folder;
    const char* gguf;
  } models[] = {
      {"llama", "llama"}, {"llama_tied", "llama"}, {"qwen2", "qwen2"}, {"qwen3", "qwen3"}};
  for (const auto& model : models) {
    const ModelFolder source = ModelFolder::Open(kModels + model.folder).value();
    const auto pulled = Pull(GgufOf(source, model.gguf));
    ASSERT_TRUE(pulled.ok()) << pulled.error().message();
    const auto opened = ModelFolder::Open(out_);
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    const ModelFolder& made = opened.value();
    EXPECT_EQ(made.tensor_names().size(), source.tensor_names().size());
    EXPECT_EQ(pulled.value().tensors, static_cast<int64_t>(source.tensor_names().size()));
    EXPECT_EQ(pulled.value().weights_bytes, source.weights_bytes());
    for (const std::string& name : source.tensor_names()) {
      const tensor::TensorView* view = made.FindTensor(name);
      ASSERT_NE(view, nullptr) << model.folder << " " << name;
      EXPECT_EQ(view->shape, source.FindTensor(name)->shape);
      EXPECT_EQ(Floats(*view), Floats(*source.FindTensor(name))) << model.folder << " " << name;
    }
    for (const char* key :
         {"architectures", "model_type", "vocab_size", "hidden_size", "intermediate_size",
          "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "hidden_act",
          "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings", "attention_bias",
          "mlp_bias", "bos_token_id"}) {
      if (!source.config().contains(key)) continue;
      const Json expected = std::string(key) == "bos_token_id" ? Json(0) : source.config()[key];
      EXPECT_EQ(made.config()[key], expected) << model.folder << " " << key;
    }
    EXPECT_EQ(made.config()["torch_dtype"], "float32");
    EXPECT_EQ(made.config()["rope_theta"], source.config()["rope_parameters"]["rope_theta"]);
    EXPECT_EQ(made.config()["rope_scaling"], Json());
  }
}

TEST_F(PullGgufTest, ManifestNamesTheSource) {
  const auto pulled = Pull(Llama());
  ASSERT_TRUE(pulled.ok()) << pulled.error().message();
  const format::Manifest manifest = format::ReadManifest(out_).value();
  EXPECT_EQ(manifest.kind, "base");
  EXPECT_EQ(manifest.details["source"]["format"], "gguf");
  EXPECT_EQ(manifest.details["source"]["file"], "m.gguf");
  EXPECT_EQ(manifest.details["source"]["sha256"], core::Sha256File(temp_ / "m.gguf").value());
  EXPECT_TRUE(format::VerifyManifest(out_, manifest).ok());
  EXPECT_EQ(pulled.value().digest, format::ContentDigest(manifest));
  EXPECT_EQ(manifest.files.size(), 5U);
  // The same again gives the same bytes.
  const std::string first = core::ReadFile(out_ + "/octavo.json").value();
  ASSERT_TRUE(Pull(Llama()).ok());
  EXPECT_EQ(core::ReadFile(out_ + "/octavo.json").value(), first);
}

TEST_F(PullGgufTest, TokenizerAndItsConfigAreRebuilt) {
  ASSERT_TRUE(Pull(Llama().U32("tokenizer.ggml.eot_token_id", 6)).ok());
  const auto tokenizer = text::Tokenizer::Load(out_, 320);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message();
  EXPECT_EQ(tokenizer.value().Encode("abcab</s>a", false).value(),
            (std::vector<text::TokenId>{6, 5, 1, 2}));
  EXPECT_EQ(tokenizer.value().Encode("abc", true).value(), (std::vector<text::TokenId>{0, 6}));
  EXPECT_FALSE(tokenizer.value().TokenToId("[PAD7]").has_value());
  const Json config = core::ReadJsonFile(out_ + "/tokenizer_config.json").value();
  EXPECT_EQ(config["bos_token"], "<s>");
  EXPECT_EQ(config["eos_token"], "</s>");
  EXPECT_EQ(config["chat_template"], "{{ messages[0].content }}");
  const Json generation = core::ReadJsonFile(out_ + "/generation_config.json").value();
  EXPECT_EQ(generation["bos_token_id"], 0);
  EXPECT_EQ(generation["eos_token_id"], (Json{1, 6}));
}

TEST_F(PullGgufTest, EveryKnownPreTokenizerLoads) {
  for (const char* pre : {"gpt-2", "smollm", "llama-bpe", "qwen2", "default"}) {
    const auto pulled =
        Pull(Llama().RemoveKey("tokenizer.ggml.pre").String("tokenizer.ggml.pre", pre));
    ASSERT_TRUE(pulled.ok()) << pulled.error().message();
    EXPECT_EQ(text::Tokenizer::Load(out_).value().Encode("abc", false).value(),
              std::vector<text::TokenId>{6});
  }
}

// One value for each block type, and what it must become.
TEST_F(PullGgufTest, StoredTypesAreAsTheDesignSays) {
  const auto half = [](float value) { return GgufBuilder::Raw(tensor::FloatToF16(value)); };
  // d = 0.1 (rounded to half), q = 3: exact in f32, rounded once to half.
  const std::string q8 = half(0.1F) + std::string(32, '\x03');
  std::string q8_rows;
  for (int i = 0; i < 64 * 176 / 32; ++i) q8_rows += q8;
  std::string bf16;
  for (int i = 0; i < 64 * 176; ++i) bf16 += GgufBuilder::Raw(uint16_t{0x3F81});
  GgufBuilder builder = Llama();
  builder.RemoveTensor("blk.0.ffn_down.weight").RemoveTensor("blk.1.ffn_down.weight");
  builder.Tensor("blk.0.ffn_down.weight", GgufType::kBF16, {64, 176}, bf16);
  // 176 columns are no whole blocks; ffn_gate has 64.
  builder.RemoveTensor("blk.0.ffn_gate.weight");
  builder.Tensor("blk.0.ffn_gate.weight", GgufType::kQ8_0, {176, 64}, q8_rows);
  builder.Tensor("blk.1.ffn_down.weight", GgufType::kF16, {64, 176}, bf16);
  const auto pulled = Pull(builder);
  ASSERT_TRUE(pulled.ok()) << pulled.error().message();
  const ModelFolder made = ModelFolder::Open(out_).value();
  const auto view = [&](const char* name) { return made.GetTensor(name).value(); };
  EXPECT_EQ(view("model.layers.0.mlp.down_proj.weight").dtype, DType::kBF16);
  EXPECT_EQ(view("model.layers.0.mlp.gate_proj.weight").dtype, DType::kF16);
  EXPECT_EQ(view("model.layers.1.mlp.down_proj.weight").dtype, DType::kF16);
  EXPECT_EQ(core::AsText(view("model.layers.0.mlp.down_proj.weight").bytes), bf16);
  EXPECT_EQ(core::AsText(view("model.layers.1.mlp.down_proj.weight").bytes), bf16);
  EXPECT_EQ(view("model.norm.weight").dtype, DType::kF32);
  const float expected =
      tensor::RoundToDType(tensor::RoundToDType(0.1F, DType::kF16) * 3.0F, DType::kF16);
  for (const float value : Floats(view("model.layers.0.mlp.gate_proj.weight"))) {
    ASSERT_EQ(value, expected);
  }
}

TEST_F(PullGgufTest, DTypeOptionConvertsAllFloats) {
  ASSERT_TRUE(Pull(Llama(), {DType::kBF16}).ok());
  const ModelFolder made = ModelFolder::Open(out_).value();
  const ModelFolder source = ModelFolder::Open(kModels + "llama").value();
  EXPECT_EQ(made.config()["torch_dtype"], "bfloat16");
  EXPECT_EQ(made.weights_bytes() * 2, source.weights_bytes());
  std::vector<float> expected =
      Floats(*source.FindTensor("model.layers.2.self_attn.k_proj.weight"));
  for (float& value : expected) value = tensor::RoundToDType(value, DType::kBF16);
  EXPECT_EQ(Floats(*made.FindTensor("model.layers.2.self_attn.k_proj.weight")), expected);
}

TEST_F(PullGgufTest, ValuesBeyondF16AreRefusedByName) {
  std::vector<float> values(64, 1);
  values[3] = 65520;
  const GgufBuilder builder =
      Llama().RemoveTensor("output_norm.weight").F32Tensor("output_norm.weight", {64}, values);
  ExpectError(builder, "tensor 'output_norm.weight': element 3 is 65520, which F16 cannot hold",
              {DType::kF16});
  EXPECT_TRUE(Pull(builder, {DType::kBF16}).ok());
  // A block whose values overflow, without the option.
  std::string rows;
  for (int i = 0; i < 176 * 64 / 32; ++i) {
    rows += GgufBuilder::Raw(uint16_t{0x7BFF}) + std::string(32, '\x7F');
  }
  ASSERT_TRUE(core::RemoveAll(out_).ok());
  ExpectError(Llama()
                  .RemoveTensor("blk.0.ffn_gate.weight")
                  .Tensor("blk.0.ffn_gate.weight", GgufType::kQ8_0, {176, 64}, rows),
              "tensor 'blk.0.ffn_gate.weight': element 0 is 8319008, which F16 cannot hold");
}

TEST_F(PullGgufTest, RopeScalingIsHonouredOrRefused) {
  const ModelFolder source = ModelFolder::Open(kModels + "llama3_rope").value();
  const Json cases = core::ReadJsonFile(OCTAVO_TESTDATA "/format/llama3_divisors.json").value();
  const auto divisors = cases[2]["divisors"].get<std::vector<float>>();
  auto pulled = Pull(GgufOf(source, "llama").F32Tensor("rope_freqs.weight", {8}, divisors));
  ASSERT_TRUE(pulled.ok()) << pulled.error().message();
  Json scaling = ModelFolder::Open(out_).value().config()["rope_scaling"];
  for (const char* key : {"rope_type", "factor", "low_freq_factor", "high_freq_factor",
                          "original_max_position_embeddings"}) {
    EXPECT_EQ(scaling[key], source.config()["rope_parameters"][key]) << key;
  }
  EXPECT_FALSE(ModelFolder::Open(out_).value().FindTensor("rope_freqs.weight"));

  pulled =
      Pull(Llama().String("llama.rope.scaling.type", "linear").F32("llama.rope.scaling.factor", 4));
  ASSERT_TRUE(pulled.ok()) << pulled.error().message();
  scaling = ModelFolder::Open(out_).value().config()["rope_scaling"];
  EXPECT_EQ(scaling["rope_type"], "linear");
  EXPECT_EQ(scaling["factor"], 4);

  ASSERT_TRUE(core::RemoveAll(out_).ok());
  std::vector<float> odd = divisors;
  odd[5] *= 1.01F;
  ExpectError(GgufOf(source, "llama").F32Tensor("rope_freqs.weight", {8}, odd),
              "'rope_freqs.weight'");
  ExpectError(Llama().F32Tensor("rope_freqs.weight", {4}, {1, 1, 1, 1}), "expected F32 [8]");
  ExpectError(Llama().String("llama.rope.scaling.type", "yarn"),
              "'llama.rope.scaling.type' is 'yarn'");
}

TEST(RopeScaling, EveryPublishedSettingIsRecovered) {
  const Json cases = core::ReadJsonFile(OCTAVO_TESTDATA "/format/llama3_divisors.json").value();
  for (const Json& c : cases) {
    const auto scaling = RecoverLlama3Scaling(c["divisors"].get<std::vector<float>>(), c["theta"]);
    ASSERT_TRUE(scaling.ok()) << scaling.error().message();
    EXPECT_EQ(scaling.value()["factor"], c["factor"]);
    EXPECT_EQ(scaling.value()["original_max_position_embeddings"], c["context"]);
  }
  EXPECT_FALSE(RecoverLlama3Scaling(std::vector<float>{1, std::nanf(""), 8}, 10000).ok());
  EXPECT_FALSE(RecoverLlama3Scaling(std::vector<float>{8, 1, 1}, 10000).ok());
}

TEST_F(PullGgufTest, RefusesByName) {
  const std::vector<float> one = {1};
  EXPECT_EQ(PullError(Llama()), "pulled");
  ASSERT_TRUE(core::RemoveAll(out_).ok());
  const auto with = [](const char* key, const auto& change) {
    GgufBuilder builder = Llama().RemoveKey(key);
    change(builder);
    return builder;
  };
  const auto count = [&](const char* key, uint32_t value) {
    return with(key, [&](GgufBuilder& b) { b.U32(key, value); });
  };
  const auto name = [&](const char* key, const char* value) {
    return with(key, [&](GgufBuilder& b) { b.String(key, value); });
  };
  ExpectError(GgufBuilder(), "'general.architecture' is missing");
  ExpectError(name("general.architecture", "mamba"), "architecture 'mamba'");
  ExpectError(count("split.count", 2), "one of 2 parts");
  ExpectError(count("llama.expert_count", 8), "no mixture of experts");
  ExpectError(count("llama.attention.temperature", 1), "'llama.attention.temperature' is unknown");
  ExpectError(count("llama.block_count", 0), "'llama.block_count' is 0, expected 1 to 4096");
  ExpectError(count("llama.block_count", 2), "'blk.2.attn_norm.weight': belongs to layer 2");
  ExpectError(count("llama.block_count", 4), "has no tensor 'blk.3.attn_norm.weight'");
  ExpectError(count("llama.embedding_length", 63), "token_embd.weight");
  ExpectError(count("llama.attention.head_count", 8), "'blk.0.attn_q.weight'");
  ExpectError(count("llama.attention.head_count_kv", 4), "'blk.0.attn_k.weight'");
  ExpectError(count("llama.attention.value_length", 8), "'llama.attention.value_length' is 8");
  ExpectError(count("llama.rope.dimension_count", 8), "'llama.rope.dimension_count' is 8");
  ExpectError(Llama().RemoveKey("llama.context_length"), "'llama.context_length' is missing");
  ExpectError(Llama().F32Tensor("blk.0.ffn_gate_inp.weight", {1}, one),
              "tensor 'blk.0.ffn_gate_inp.weight': is unknown in a llama model");
  ExpectError(Llama().F32Tensor("blk.0.attn_q_norm.weight", {16}, std::vector<float>(16)),
              "unknown");
  ExpectError(Llama().RemoveTensor("blk.1.ffn_up.weight"), "has no tensor 'blk.1.ffn_up.weight'");
  ExpectError(Llama().RemoveTensor("token_embd.weight"), "'token_embd.weight'");
}

TEST_F(PullGgufTest, TokenizersAreRefusedByName) {
  const auto strings = [](const char* key, const std::vector<std::string>& values) {
    return Llama().RemoveKey(key).Strings(key, values);
  };
  const auto name = [](const char* key, const char* value) {
    return Llama().RemoveKey(key).String(key, value);
  };
  ExpectError(Llama().RemoveKey("tokenizer.ggml.model"), "has no tokenizer");
  ExpectError(Llama().RemoveKey("tokenizer.ggml.pre"), "'tokenizer.ggml.pre' is missing");
  ExpectError(Llama().RemoveKey("tokenizer.ggml.tokens"), "'tokenizer.ggml.tokens' is missing");
  ExpectError(name("tokenizer.ggml.model", "llama"), "'tokenizer.ggml.scores' must be a list of 8");
  ExpectError(name("tokenizer.ggml.model", "t5"), "'t5'");
  ExpectError(name("tokenizer.ggml.pre", "tekken"), "'tokenizer.ggml.pre' is 'tekken'");
  ExpectError(strings("tokenizer.ggml.tokens", {}), "has 0 tokens");
  ExpectError(strings("tokenizer.ggml.tokens", std::vector<std::string>(321, "a")), "1 to 320");
  ExpectError(strings("tokenizer.ggml.tokens", {"a", "b", "a"}), "token 2 'a' appears twice");
  ExpectError(strings("tokenizer.ggml.tokens", {"a", "\xFF"}), "token 1 '\\xff' is not UTF-8");
  ExpectError(strings("tokenizer.ggml.merges", {"a b", "b c"}), "merge 1 'b c'");
  ExpectError(strings("tokenizer.ggml.merges", {"ab"}), "merge 0 'ab'");
  ExpectError(strings("tokenizer.ggml.merges", {"a zz"}), "merge 0 'a zz'");
  ExpectError(strings("tokenizer.ggml.merges", {" "}), "merge 0 ' '");
  ExpectError(name("tokenizer.chat_template", "\xFF"), "'tokenizer.chat_template' is not UTF-8");
  ExpectError(Llama().RemoveKey("tokenizer.ggml.token_type").I32s("tokenizer.ggml.token_type", {1}),
              "list of 8 integers");
  ExpectError(
      Llama().RemoveKey("tokenizer.ggml.bos_token_id").U32("tokenizer.ggml.bos_token_id", 320),
      "'tokenizer.ggml.bos_token_id' is 320");
  ExpectError(
      Llama().RemoveKey("tokenizer.ggml.bos_token_id").U32("tokenizer.ggml.bos_token_id", 9),
      "there are 8 tokens");
}

TEST_F(PullGgufTest, DamagedFilesLeaveNothing) {
  const std::string file = Llama().Build();
  for (const size_t size : {file.size() - 1, file.size() / 2, size_t{1000}, size_t{5}}) {
    ASSERT_TRUE(core::WriteFileAtomic(temp_ / "m.gguf", file.substr(0, size)).ok());
    const auto pulled = hub::Pull(temp_ / "m.gguf", out_, {}, core::SilentProgress(), cancel_);
    ASSERT_FALSE(pulled.ok());
    EXPECT_EQ(core::ListFolder(temp_.path()).value(), std::vector<std::string>{"m.gguf"});
  }
}

TEST_F(PullGgufTest, CancelLeavesNothing) {
  cancel_.Cancel();
  const auto pulled = Pull(Llama());
  ASSERT_FALSE(pulled.ok());
  EXPECT_EQ(pulled.error().code(), core::ErrorCode::kInterrupted);
  EXPECT_EQ(core::ListFolder(temp_.path()).value(), std::vector<std::string>{"m.gguf"});
}

}  // namespace
}  // namespace octavo::hub
