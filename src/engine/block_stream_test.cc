// A model walked block by block gives the bits of the engine, in memory and through a file.
#include "engine/block_stream.h"

#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"
#include "core/temp_folder.h"
#include "engine/fixture.h"

namespace octavo::engine {
namespace {

std::vector<std::vector<TokenId>> RandomSequences(int64_t vocabulary) {
  core::Random random(7);
  std::vector<std::vector<TokenId>> out;
  for (const size_t length : {1U, 70U, 250U, 3U, 256U, 255U}) {
    std::vector<TokenId> ids(length);
    for (TokenId& id : ids)
      id = static_cast<TokenId>(random.Below(static_cast<uint64_t>(vocabulary)));
    out.push_back(std::move(ids));
  }
  return out;
}

// The logits of all positions of all sequences.
std::vector<float> Streamed(const std::string& name, const HiddenStatesOptions& options,
                            const std::vector<std::vector<TokenId>>& sequences) {
  const auto folder = format::ModelFolder::Open(FixturePath(name)).value();
  const auto config = model::LoadModelConfig(folder.config(), folder.path()).value();
  core::ThreadPool pool(2);
  BlockStream stream(config, model::Compute::kF32, model::KvType::kF32, pool);
  std::vector<int64_t> lengths;
  std::vector<TokenId> ids;
  for (const auto& sequence : sequences) {
    lengths.push_back(static_cast<int64_t>(sequence.size()));
    ids.insert(ids.end(), sequence.begin(), sequence.end());
  }
  auto states = HiddenStates::Create(lengths, config.hidden_size, options).value();
  EXPECT_EQ(states.on_disk(), options.max_memory_bytes == 0);
  const auto embedding = folder.GetTensor("model.embed_tokens.weight").value();
  EXPECT_TRUE(stream.Embed(embedding, ids, states).ok());
  const core::CancelToken cancel;
  format::WeightReader reader(folder);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const auto block = model::LoadBlock(reader, {}, config, layer, pool).value();
    int64_t told = -1;
    const model::Tap tap = [&](int64_t l, std::span<const model::Linear* const>, const float*,
                               int64_t) { told = l; };
    EXPECT_TRUE(stream.Forward(block, layer, states, &states, tap, cancel).ok());
    EXPECT_EQ(told, layer);
  }
  const auto norm =
      model::LoadFloats(folder, "model.norm.weight", config.hidden_size, config.hidden_size)
          .value();
  const std::string head_name = config.tied_embeddings ? "model.embed_tokens" : "lm_head";
  const auto head =
      model::Linear::Load(reader, {}, head_name, config.vocab_size, config.hidden_size, false, pool)
          .value();
  std::vector<float> hidden(static_cast<size_t>(states.rows() * config.hidden_size));
  EXPECT_TRUE(states.Read(0, hidden).ok());
  std::vector<float> logits(static_cast<size_t>(states.rows() * config.vocab_size));
  stream.Head(head, norm, hidden.data(), states.rows(), logits.data());
  return logits;
}

std::vector<float> FromEngine(const std::string& name,
                              const std::vector<std::vector<TokenId>>& sequences) {
  const auto engine = LoadFixture(name);
  std::vector<float> out;
  for (const auto& ids : sequences) {
    Sequence sequence = engine->NewSequence();
    const Step step{&sequence, ids, 0};
    const auto logits = engine->Forward({&step, 1}).value();
    out.insert(out.end(), logits.begin(), logits.end());
  }
  return out;
}

class BlockStreams : public testing::TestWithParam<const char*> {};

TEST_P(BlockStreams, GiveTheBitsOfTheEngine) {
  const auto sequences = RandomSequences(320);
  const std::vector<float> expected = FromEngine(GetParam(), sequences);
  const core::TempFolder folder;
  for (const int64_t budget : {int64_t{1} << 30, int64_t{0}}) {
    const std::vector<float> streamed = Streamed(GetParam(), {budget, folder.path()}, sequences);
    ASSERT_EQ(streamed.size(), expected.size());
    EXPECT_EQ(std::memcmp(streamed.data(), expected.data(), expected.size() * sizeof(float)), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, BlockStreams,
                         testing::Values("llama", "llama_tied", "llama3_rope", "mistral_window",
                                         "qwen2", "qwen3"));

}  // namespace
}  // namespace octavo::engine
