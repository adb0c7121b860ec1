#include "format/weight_names.h"

#include <set>

#include <gtest/gtest.h>

namespace octavo::format {
namespace {

TEST(WeightNames, EveryRowReadsBothWays) {
  for (const WeightName& row : WeightNames()) {
    for (const char* suffix : {".weight", ".bias"}) {
      const bool layered = row.gguf.find("{}") != std::string_view::npos;
      const WeightId id = {&row, layered ? 17 : -1, suffix};
      for (const auto& found : {FindGgufName(GgufName(id)), FindHfName(HfName(id))}) {
        ASSERT_TRUE(found.has_value()) << row.gguf;
        EXPECT_EQ(found->name, &row);
        EXPECT_EQ(found->layer, id.layer);
        EXPECT_EQ(found->suffix, suffix);
      }
    }
  }
}

TEST(WeightNames, NoNameIsGivenTwice) {
  std::set<std::string_view> gguf;
  std::set<std::string_view> hf;
  for (const WeightName& row : WeightNames()) {
    EXPECT_TRUE(gguf.insert(row.gguf).second) << row.gguf;
    EXPECT_TRUE(hf.insert(row.hf).second) << row.hf;
  }
}

TEST(WeightNames, ExamplesAreRight) {
  EXPECT_EQ(HfName(*FindGgufName("blk.3.attn_output.weight")),
            "model.layers.3.self_attn.o_proj.weight");
  EXPECT_EQ(GgufName(*FindHfName("model.layers.10.post_attention_layernorm.weight")),
            "blk.10.ffn_norm.weight");
  EXPECT_EQ(HfName(*FindGgufName("output.weight")), "lm_head.weight");
  EXPECT_EQ(FindGgufName("blk.0.attn_q.bias")->name->rows, RowOrder::kQueryHeads);
}

TEST(WeightNames, OthersAreUnknown) {
  for (const char* name :
       {"", "output", "output.weight2", "blk..attn_q.weight", "blk.01.attn_q.weight",
        "blk.-1.attn_q.weight", "blk.+1.attn_q.weight", "blk.1x.attn_q.weight", "blk.1.attn_q",
        "blk.99999999999999999999.attn_q.weight", "blk.1.ffn_gate_inp.weight", "rope_freqs.weight",
        "model.norm.weight"}) {
    EXPECT_FALSE(FindGgufName(name).has_value()) << name;
  }
}

}  // namespace
}  // namespace octavo::format
