#include "workflow/steps.h"

#include "compress/quantize.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/version.h"
#include "eval/evaluate.h"
#include "format/manifest.h"
#include "hub/pull.h"
#include "workflow/promotion.h"

namespace octavo::workflow {
namespace {

using core::Json;
using core::Result;

// Whether `folder` says of itself that it has this content, and has all the files it lists.
bool HoldsContent(const std::string& folder, const Json& result) {
  const auto manifest = format::ReadManifest(folder);
  if (!manifest.ok() || format::ContentDigest(manifest.value()) != result["digest"]) return false;
  for (const auto& [name, hash] : manifest.value().files) {
    if (!core::FileExists(core::JoinPath(folder, name))) return false;
  }
  return true;
}

bool HoldsFile(const std::string& path, const Json& result) {
  const auto digest = core::Sha256File(path);
  return digest.ok() && digest.value() == result["sha256"];
}

// Writes a document that may hold prompts, and gives its digest.
Result<std::string> WriteDocument(const std::string& path, const Json& document) {
  const std::string text = core::DumpJson(document);
  OCTAVO_RETURN_IF_ERROR(core::WriteFileAtomic(path, text, 0600));
  return core::Sha256Hex(text);
}

Result<Json> PullInputs(Work& work) {
  OCTAVO_TRY(const std::string digest, work.journal.DigestOf(work.pipeline.base));
  return Json{{"octavo_version", core::kVersion}, {"base", digest}};
}
bool PullPresent(const Work& work, const Json& result) {
  return HoldsContent(work.base_dir(), result);
}
Result<Json> RunPull(Work& work) {
  OCTAVO_TRY(const hub::PullSummary summary,
             hub::Pull(work.pipeline.base, work.base_dir(), {}, work.progress, work.cancel));
  return Json{{"digest", summary.digest},
              {"tensors", summary.tensors},
              {"weights_bytes", summary.weights_bytes}};
}

Result<Json> QuantizeInputs(Work& work) {
  return Json{{"octavo_version", core::kVersion},
              {"base", work.results["pull"]["digest"]},
              {"scheme", work.pipeline.quantize.scheme},
              {"head", work.pipeline.quantize.head_bits}};
}
bool QuantizePresent(const Work& work, const Json& result) {
  return HoldsContent(work.artifact_dir(), result);
}
Result<Json> RunQuantize(Work& work) {
  OCTAVO_TRY(const compress::QuantizeSummary summary,
             compress::Quantize(work.base_dir(), work.artifact_dir(), work.pipeline.quantize,
                                work.progress, work.cancel));
  return Json{{"digest", summary.digest},
              {"scheme", summary.scheme},
              {"layers", summary.layers},
              {"base_weights_bytes", summary.base_weights_bytes},
              {"weights_bytes", summary.weights_bytes}};
}

Result<Json> EvalInputs(Work& work) {
  OCTAVO_TRY(const eval::Suite suite, eval::LoadSuite(work.pipeline.suite));
  OCTAVO_TRY(const std::string suite_digest, eval::SuiteDigest(suite));
  return Json{{"octavo_version", core::kVersion},
              {"baseline", work.results["pull"]["digest"]},
              {"candidate", work.results["quantize"]["digest"]},
              {"suite", suite_digest},
              {"compute", work.pipeline.eval.compute == model::Compute::kBF16 ? "bf16" : "f32"},
              {"kv", model::KvBits(work.pipeline.eval.kv)}};
}
bool EvalPresent(const Work& work, const Json& result) {
  return HoldsFile(work.eval_path(), result);
}
Result<Json> RunEval(Work& work) {
  OCTAVO_TRY(const eval::Suite suite, eval::LoadSuite(work.pipeline.suite));
  OCTAVO_TRY(const Json document, eval::Evaluate(work.artifact_dir(), work.base_dir(), suite,
                                                 work.pipeline.eval, work.progress, work.cancel));
  OCTAVO_RETURN_IF_ERROR(work.cancel.Check());
  OCTAVO_TRY(const std::string digest, WriteDocument(work.eval_path(), document));
  return Json{{"sha256", digest}};
}

Result<Json> GateInputs(Work& work) {
  OCTAVO_TRY(const eval::Policy policy, PolicyOf(work.pipeline.policy));
  return Json{{"octavo_version", core::kVersion},
              {"evaluation", work.results["eval"]["sha256"]},
              {"policy", eval::PolicyDigest(policy)}};
}
bool GatePresent(const Work& work, const Json& result) {
  return HoldsFile(work.gate_path(), result);
}
Result<Json> RunGate(Work& work) {
  OCTAVO_TRY(const Judgement judgement, Judge(work.eval_path(), work.pipeline.policy));
  OCTAVO_TRY(const std::string digest,
             WriteDocument(work.gate_path(), eval::GateReportJson(judgement.report)));
  return Json{{"verdict", eval::VerdictName(judgement.report.verdict)}, {"sha256", digest}};
}

Result<Json> PromoteInputs(Work& work) {
  return Json{{"artifact", work.results["quantize"]["digest"]},
              {"evaluation", work.results["eval"]["sha256"]},
              {"gate", work.results["gate"]["sha256"]},
              {"channel", work.pipeline.channel},
              {"home", work.home}};
}
// A channel that someone has moved since is left where it is; one that is gone is made again.
bool PromotePresent(const Work& work, const Json&) {
  auto store = registry::Registry::Open(work.home);
  return store.ok() && store.value().Resolve(work.pipeline.channel).ok();
}
Result<Json> RunPromote(Work& work) {
  OCTAVO_TRY(const Judgement judgement, Judge(work.eval_path(), work.pipeline.policy));
  OCTAVO_TRY(
      const registry::HistoryEntry entry,
      Promote(judgement, work.artifact_dir(), work.pipeline.channel, work.home, work.progress));
  return Json{{"channel", entry.channel}, {"digest", entry.to_digest}};
}

constexpr Step kSteps[] = {
    {"pull", PullInputs, PullPresent, RunPull},
    {"quantize", QuantizeInputs, QuantizePresent, RunQuantize},
    {"eval", EvalInputs, EvalPresent, RunEval},
    {"gate", GateInputs, GatePresent, RunGate},
    {"promote", PromoteInputs, PromotePresent, RunPromote},
};

}  // namespace

std::string Work::base_dir() const {
  return core::JoinPath(pipeline.run_dir, "base");
}
std::string Work::artifact_dir() const {
  return core::JoinPath(pipeline.run_dir, "artifact");
}
std::string Work::eval_path() const {
  return core::JoinPath(pipeline.run_dir, "eval.json");
}
std::string Work::gate_path() const {
  return core::JoinPath(pipeline.run_dir, "gate.json");
}

std::span<const Step> Steps() {
  return kSteps;
}

}  // namespace octavo::workflow
