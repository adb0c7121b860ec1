#include "model/config.h"

#include <string>

#include <gtest/gtest.h>

namespace octavo::model {
namespace {

using core::Json;

Json Base() {
  return core::ParseJson(
             R"({"architectures": ["LlamaForCausalLM"], "vocab_size": 320, "hidden_size": 64,
    "intermediate_size": 176, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "eos_token_id": 2})")
      .value();
}

ModelConfig Parse(const Json& json) {
  auto config = ParseModelConfig(json);
  EXPECT_TRUE(config.ok()) << config.error().message();
  return std::move(config).value();
}

std::string Refusal(const Json& json) {
  const auto config = ParseModelConfig(json);
  EXPECT_FALSE(config.ok());
  return config.ok() ? "" : config.error().message();
}

TEST(ModelConfig, DefaultsFollowTransformers) {
  const ModelConfig c = Parse(Base());
  EXPECT_EQ(c.head_dim, 16);
  EXPECT_EQ(c.rope.theta, 10000);
  EXPECT_EQ(c.rope.scaling, RopeScaling::kNone);
  EXPECT_EQ(c.eos_ids, std::vector<int32_t>{2});
  EXPECT_EQ(c.windows, (std::vector<int64_t>{0, 0, 0}));
  EXPECT_FALSE(c.tied_embeddings);
  EXPECT_FALSE(c.qkv_bias);
}

TEST(ModelConfig, OldAndNewSpellingOfRopeAgree) {
  Json old_spelling = Base();
  old_spelling["rope_theta"] = 500000.0;
  const Json scaling = {{"type", "llama3"},
                        {"factor", 8.0},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", 4.0},
                        {"original_max_position_embeddings", 64}};
  old_spelling["rope_scaling"] = scaling;
  Json new_spelling = Base();
  new_spelling["rope_parameters"] = scaling;
  new_spelling["rope_parameters"].erase("type");
  new_spelling["rope_parameters"]["rope_type"] = "llama3";
  new_spelling["rope_parameters"]["rope_theta"] = 500000.0;
  for (const Json& json : {old_spelling, new_spelling}) {
    const ModelConfig c = Parse(json);
    EXPECT_EQ(c.rope.theta, 500000);
    EXPECT_EQ(c.rope.scaling, RopeScaling::kLlama3);
    EXPECT_EQ(c.rope.factor, 8);
    EXPECT_EQ(c.rope.original_context, 64);
  }
}

TEST(ModelConfig, RopeKindsThatDoNotRunAreRefusedByName) {
  for (const char* kind : {"dynamic", "yarn", "longrope"}) {
    Json json = Base();
    json["rope_scaling"] = {{"rope_type", kind}, {"factor", 2.0}};
    EXPECT_NE(Refusal(json).find(kind), std::string::npos);
  }
}

TEST(ModelConfig, ArchitecturesDifferInBiasesNormsAndWindows) {
  Json json = Base();
  json["architectures"] = {"Qwen2ForCausalLM"};
  EXPECT_TRUE(Parse(json).qkv_bias);
  EXPECT_FALSE(Parse(json).o_bias);
  json["architectures"] = {"Qwen3ForCausalLM"};
  EXPECT_TRUE(Parse(json).qk_norm);
  EXPECT_FALSE(Parse(json).qkv_bias);
  json["architectures"] = {"MistralForCausalLM"};
  EXPECT_EQ(Parse(json).windows[0], 4096);
  json["sliding_window"] = nullptr;
  EXPECT_EQ(Parse(json).windows[0], 0);
  json["sliding_window"] = 16;
  EXPECT_EQ(Parse(json).windows[2], 16);
}

TEST(ModelConfig, QwenWindowsFollowTheLayerTypes) {
  Json json = Base();
  json["architectures"] = {"Qwen2ForCausalLM"};
  json["sliding_window"] = 32;
  EXPECT_EQ(Parse(json).windows[2], 0) << "use_sliding_window is off by default";
  json["use_sliding_window"] = true;
  json["max_window_layers"] = 2;
  EXPECT_EQ(Parse(json).windows, (std::vector<int64_t>{0, 0, 32}));
  json["layer_types"] = {"sliding_attention", "full_attention", "full_attention"};
  EXPECT_EQ(Parse(json).windows, (std::vector<int64_t>{32, 0, 0}));
  json["layer_types"] = {"linear_attention", "full_attention", "full_attention"};
  EXPECT_NE(Refusal(json).find("linear_attention"), std::string::npos);
}

TEST(ModelConfig, WhatCannotBeRightNamesTheField) {
  const std::pair<const char*, Json> cases[] = {
      {"vocab_size", 0},          {"vocab_size", int64_t{1} << 40}, {"hidden_size", -64},
      {"hidden_size", "64"},      {"num_hidden_layers", 1000000},   {"num_key_value_heads", 3},
      {"rms_norm_eps", -1.0},     {"max_position_embeddings", 0},   {"eos_token_id", 320},
      {"hidden_act", "gelu"},     {"architectures", Json::array()}, {"rope_theta", 0.0},
      {"num_attention_heads", 5},
  };
  for (const auto& [field, value] : cases) {
    Json json = Base();
    json[field] = value;
    EXPECT_NE(Refusal(json).find(field), std::string::npos) << field << ": " << Refusal(json);
  }
  Json json = Base();
  json["architectures"] = {"GemmaForCausalLM"};
  EXPECT_NE(Refusal(json).find("LlamaForCausalLM"), std::string::npos);
  json = Base();
  json["head_dim"] = 24;
  EXPECT_NE(Refusal(json).find("head dimension 24"), std::string::npos);
  const Json base = Base();
  for (const auto& [field, value] : base.items()) {
    if (field == "num_key_value_heads" || field == "rms_norm_eps" || field == "eos_token_id")
      continue;
    json = Base();
    json.erase(field);
    EXPECT_NE(Refusal(json).find(field), std::string::npos) << field;
  }
}

}  // namespace
}  // namespace octavo::model
