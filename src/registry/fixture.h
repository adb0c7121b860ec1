// What the registry's tests share: a store in a temporary folder, artifacts to promote, and
// evidence for them.
#pragma once

#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/hash.h"
#include "format/manifest.h"
#include "registry/registry.h"

namespace octavo::registry {

// Fails the test and gives up when a Result is an Error.
template <typename T>
T Must(core::Result<T> result) {
  if (!result.ok()) {
    ADD_FAILURE() << result.error().message();
    std::abort();
  }
  return std::move(result).value();
}

class RegistryTest : public ::testing::Test {
 protected:
  RegistryTest() {
    std::string pattern = ::testing::TempDir() + "octavo_registry_XXXXXX";
    root_ = ::mkdtemp(pattern.data());
    home_ = core::JoinPath(root_, "home");
  }
  ~RegistryTest() override { EXPECT_TRUE(core::RemoveAll(root_).ok()); }

  static std::string BaseDigest() { return std::string(64, 'b'); }

  // A folder with octavo.json whose content depends on `seed`; its path.
  std::string MakeArtifact(int seed, const std::string& kind = "artifact") const {
    const std::string path = core::JoinPath(root_, kind + std::to_string(seed));
    EXPECT_TRUE(core::MakeFolders(path).ok());
    const std::string weights(200'000, static_cast<char>('a' + seed % 26));
    EXPECT_TRUE(core::WriteFileAtomic(core::JoinPath(path, "model.safetensors"), weights).ok());
    EXPECT_TRUE(
        core::WriteFileAtomic(core::JoinPath(path, "config.json"), std::to_string(seed)).ok());
    EXPECT_TRUE(core::WriteFileAtomic(core::JoinPath(path, "tokenizer.json"), "{}").ok());
    Must(format::WriteManifest(path, kind,
                               core::Json{{"base_digest", BaseDigest()}, {"scheme", "w8a16"}}));
    return path;
  }
  static std::string DigestOf(const std::string& artifact) {
    return format::ContentDigest(Must(format::ReadManifest(artifact)));
  }

  // Evidence that lets `artifact` in; tests break it to be refused. Evaluations of different
  // `score` differ.
  static PromotionRequest Request(const std::string& artifact,
                                  const std::string& channel = "production", double score = 1.005) {
    const std::string digest = DigestOf(artifact);
    PromotionRequest request;
    request.artifact_dir = artifact;
    request.channel = channel;
    request.evaluation = {{"schema", 1},
                          {"complete", true},
                          {"candidate_digest", digest},
                          {"baseline_digest", BaseDigest()},
                          {"perplexity", {{{"name", "wiki"}, {"ratio", score}}}},
                          {"generations", {{{"prompt", "a secret"}}}}};
    request.policy = {
        {"rule", {{{"metric", "perplexity[*].ratio"}, {"max", 1.01}, {"confidence", 0.95}}}}};
    request.gate_report = {{"verdict", "pass"},
                           {"candidate_digest", digest},
                           {"baseline_digest", BaseDigest()},
                           {"policy_digest", core::Sha256Hex(core::DumpJsonLine(request.policy))}};
    request.who = "tester@host";
    return request;
  }

  core::Result<HistoryEntry> Promote(const PromotionRequest& request) const {
    Registry registry = Must(Registry::Open(home_));
    return registry.Promote(request, core::SilentProgress());
  }
  std::string Served(const std::string& channel = "production") const {
    Registry registry = Must(Registry::Open(home_));
    return Must(registry.Resolve(channel)).digest;
  }

  std::string root_;
  std::string home_;
};

}  // namespace octavo::registry
