#include "workflow/until_gate.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "compress/calibration.h"
#include "compress/mixed_plan.h"
#include "compress/sensitivity_document.h"
#include "core/thread_pool.h"
#include "eval/evaluate.h"
#include "eval/policy.h"
#include "eval/suite.h"
#include "format/model_folder.h"

namespace octavo::workflow {
namespace {

constexpr size_t kFirstRaise = 2;

struct Raise {
  std::string rule;  // REGEX=SCHEME
  std::string told;
  double gain = 0;  // divergence that it takes away, for each bit that it adds
};

// What is raised first comes first.
core::Result<std::vector<Raise>> ListRaises(const std::string& model_dir,
                                            const compress::QuantizeOptions& options,
                                            core::Progress& progress,
                                            const core::CancelToken& cancel) {
  if (options.calibration.empty()) {
    return core::Usage(
        "--until-gate measures how sensitive the layers are: give --calibration DIR, made by "
        "`octavo calibrate`");
  }
  OCTAVO_TRY(const tensor::Scheme scheme, tensor::ParseScheme(options.scheme));
  OCTAVO_TRY(const compress::Calibration calibration,
             compress::ReadCalibration(options.calibration));
  OCTAVO_TRY(const format::ModelFolder source, format::ModelFolder::Open(model_dir));
  OCTAVO_TRY(const model::ModelConfig config,
             model::LoadModelConfig(source.config(), model_dir).Context(model_dir));
  OCTAVO_RETURN_IF_ERROR(compress::CheckTokens(calibration, config).Context(options.calibration));
  // Static scales belong to a calibrated artifact; per token they cost much the same.
  tensor::Scheme measured = scheme;
  if (measured.activations == tensor::Activations::kStaticPerTensor)
    measured.activations = tensor::Activations::kDynamicPerToken;
  core::ThreadPool pool(options.threads);
  compress::SensitivityJournal nowhere;
  OCTAVO_TRY(const std::vector<compress::GroupSensitivity> groups,
             compress::MeasureSensitivity(source, config, calibration.samples, {{measured}},
                                          nowhere, pool, progress, cancel));
  const std::string higher = scheme.weight_bits == 4 ? "w8a16" : "16";
  const double bits = scheme.weight_bits == 4 ? 8 : 16;
  std::vector<Raise> out;
  for (const compress::GroupSensitivity& group : groups) {
    if (group.losses.empty()) continue;
    std::string modules;
    for (const std::string& module : compress::FusedGroupModules(group.layer, group.group))
      modules += (modules.empty() ? "" : "|") + module;
    const double added = bits * static_cast<double>(group.weights) - group.losses[0].bits;
    out.push_back(
        {"^(" + modules + ")$=" + higher,
         fmt::format("block {} {}: {}", group.layer, compress::FusedGroupName(group.group), higher),
         group.losses[0].kld / std::max(added, 1.0)});
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Raise& a, const Raise& b) { return a.gain > b.gain; });
  return out;
}

}  // namespace

core::Result<UntilGateResult> QuantizeUntilGate(const std::string& model_dir,
                                                const std::string& out_dir,
                                                const UntilGateOptions& options,
                                                core::Progress& progress,
                                                const core::CancelToken& cancel) {
  OCTAVO_TRY(const eval::Suite suite, eval::LoadSuite(options.suite));
  eval::Policy policy = eval::DefaultPolicy();
  if (!options.policy.empty()) {
    OCTAVO_TRY(policy, eval::LoadPolicy(options.policy));
  }
  OCTAVO_RETURN_IF_ERROR(eval::CheckSuiteMeasures(suite, policy));
  UntilGateResult out;
  std::vector<Raise> raises;
  compress::QuantizeOptions quantize = options.quantize;
  size_t raised = 0;
  for (;;) {
    OCTAVO_TRY(out.summary, compress::Quantize(model_dir, out_dir, quantize, progress, cancel));
    ++out.attempts;
    OCTAVO_TRY(out.evaluation, eval::Evaluate(out_dir, model_dir, suite,
                                              {.threads = quantize.threads}, progress, cancel));
    OCTAVO_TRY(const eval::GateReport gate, eval::CheckGate(out.evaluation, policy));
    out.verdict = gate.verdict;
    for (const eval::RuleOutcome& outcome : gate.outcomes) progress.Note(eval::Describe(outcome));
    if (gate.verdict != eval::Verdict::kFail) return out;
    if (raises.empty()) {
      OCTAVO_TRY(raises, ListRaises(model_dir, quantize, progress, cancel));
    }
    if (raised == raises.size()) return out;
    const size_t next = std::min(raises.size(), std::max(kFirstRaise, raised * 2));
    for (; raised < next; ++raised) {
      quantize.keep.push_back(raises[raised].rule);
      out.raised.push_back(raises[raised].told);
    }
    progress.Note(
        fmt::format("the gate stays closed: {} of {} groups get more bits", raised, raises.size()));
  }
}

}  // namespace octavo::workflow
