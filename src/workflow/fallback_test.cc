// A layer of an artifact that falls back, as a client of the running server sees it.
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "compress/quantize.h"
#include "core/temp_folder.h"
#include "engine/fixture.h"
#include "engine/scheduler.h"
#include "net/client.h"
#include "proof/kernel_report.h"
#include "serve/api_server.h"
#include "serve/engine_backend.h"
#include "workflow/fixture.h"

namespace octavo::workflow {
namespace {

constexpr const char* kLayer = "model.layers.0.self_attn.o_proj";

// Serves the folder, lets it answer one request, and returns GET /octavo/kernels.
core::Json KernelsAfterAnAnswer(const std::string& folder) {
  engine::EngineOptions options;
  options.threads = 1;
  options.kv_tokens = 256;
  auto engine = engine::Engine::Load(folder, options);
  if (!engine.ok()) {
    ADD_FAILURE() << engine.error().message();
    return nullptr;
  }
  const proof::Promise promise = proof::ReadPromise(folder).value();
  engine::Scheduler scheduler(*engine.value(), {});
  serve::EngineBackend backend(*engine.value()->tokenizer(), std::nullopt, scheduler);
  serve::ApiOptions api;
  api.port = 0;
  const auto server = serve::ApiServer::Start(api).value();
  server->Serve({"tiny", engine.value()->config().context, 0,
                 [&] { return proof::KernelReport(engine.value()->model(), promise); }},
                backend);
  const core::Json request = {{"prompt", "hello"}, {"max_tokens", 2}};
  const auto answer = net::Client("127.0.0.1", server->port())
                          .Send({"POST", "/v1/completions", {}, core::DumpJsonLine(request), ""});
  EXPECT_TRUE(answer.ok() && answer.value().status == 200);
  const auto kernels =
      net::Client("127.0.0.1", server->port()).Send({"GET", "/octavo/kernels", {}, "", ""});
  return core::ParseJson(kernels.value().body).value();
}

TEST(Fallback, TheServerNamesTheLayerAndItsKernelAndCountsLessInt8) {
  const core::TempFolder folder;
  const std::string base = folder / "base";
  const std::string artifact = folder / "artifact";
  ASSERT_NO_FATAL_FAILURE(engine::WriteModelWithTokenizer("llama", "byte_level", base));
  ASSERT_TRUE(
      compress::Quantize(base, artifact, {}, core::SilentProgress(), core::CancelToken()).ok());
  const core::Json whole = KernelsAfterAnAnswer(artifact);
  EXPECT_EQ(whole["fallbacks"], core::Json::array());

  ASSERT_NO_FATAL_FAILURE(PutFloatsBack(base, artifact, kLayer));
  const core::Json broken = KernelsAfterAnAnswer(artifact);
  const core::Json fallback = {
      {"name", kLayer},  {"promised", "w8a16"},       {"stored", "F32"},
      {"packed", "F32"}, {"rotation_skipped", false}, {"kernel", "w32a32"}};
  EXPECT_EQ(broken["fallbacks"], core::Json::array({fallback}));
  EXPECT_LT(broken["int8_fraction_of_linear_weights"], whole["int8_fraction_of_linear_weights"]);
  EXPECT_NE(broken["artifact_digest"], whole["artifact_digest"]);
}

}  // namespace
}  // namespace octavo::workflow
