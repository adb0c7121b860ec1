// Tiny models with reference logits from Hugging Face transformers, for tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/json.h"
#include "engine/engine.h"
#include "format/safetensors.h"

namespace octavo::engine {

inline std::string FixturePath(const std::string& name) {
  return std::string(OCTAVO_TESTDATA) + "/architectures/" + name;
}

inline std::unique_ptr<Engine> LoadFixture(const std::string& name, EngineOptions options = {}) {
  auto engine = Engine::Load(FixturePath(name), options);
  if (!engine.ok()) {
    ADD_FAILURE() << engine.error().message();
    return nullptr;
  }
  return std::move(engine).value();
}

inline std::vector<std::vector<TokenId>> FixtureTokens(const std::string& name) {
  const auto json = core::ReadJsonFile(FixturePath(name) + "/tokens.json");
  return json.value().get<std::vector<std::vector<TokenId>>>();
}

// Makes the folder `to`: a model above and the tokenizer testdata/text/TOKENIZER, which gets a
// token for each row of the embedding, because a random model says any of them.
inline void WriteModelWithTokenizer(const std::string& architecture, const std::string& tokenizer,
                                    const std::string& to) {
  ASSERT_TRUE(core::MakeFolders(to).ok());
  for (const char* name : {"/config.json", "/model.safetensors"}) {
    ASSERT_TRUE(core::CopyFileAtomic(FixturePath(architecture) + name, to + name).ok());
  }
  const std::string from = std::string(OCTAVO_TESTDATA) + "/text/" + tokenizer;
  if (core::FileExists(from + "/tokenizer_config.json")) {
    ASSERT_TRUE(
        core::CopyFileAtomic(from + "/tokenizer_config.json", to + "/tokenizer_config.json").ok());
  }
  core::Json json = core::ReadJsonFile(from + "/tokenizer.json").value();
  core::Json& added = json["added_tokens"];
  int64_t next = 0;
  for (const core::Json& id : json["model"]["vocab"]) next = std::max(next, id.get<int64_t>() + 1);
  for (const core::Json& token : added) next = std::max(next, token["id"].get<int64_t>() + 1);
  for (; next < 320; ++next) {
    core::Json token = added.back();
    token["id"] = next;
    token["content"] = "<extra" + std::to_string(next) + ">";
    added.push_back(std::move(token));
  }
  ASSERT_TRUE(core::WriteFileAtomic(to + "/tokenizer.json", core::DumpJson(json)).ok());
}

inline double MaxDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    worst = std::max(worst, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return worst;
}

}  // namespace octavo::engine
