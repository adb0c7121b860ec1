#include "workflow/promotion.h"

namespace octavo::workflow {

core::Result<eval::Policy> PolicyOf(const std::optional<std::string>& policy_toml) {
  if (policy_toml) return eval::LoadPolicy(*policy_toml);
  return eval::DefaultPolicy();
}

core::Result<Judgement> Judge(const std::string& eval_json,
                              const std::optional<std::string>& policy_toml) {
  OCTAVO_TRY(core::Json evaluation, core::ReadJsonFile(eval_json));
  OCTAVO_TRY(eval::Policy policy, PolicyOf(policy_toml));
  OCTAVO_TRY(eval::GateReport report, eval::CheckGate(evaluation, policy).Context(eval_json));
  return Judgement{std::move(evaluation), std::move(policy), std::move(report)};
}

core::Result<registry::HistoryEntry> Promote(const Judgement& judgement,
                                             const std::string& artifact_dir,
                                             const std::string& channel, const std::string& home,
                                             core::Progress& progress) {
  OCTAVO_TRY(registry::Registry store, registry::Registry::Open(home));
  return store.Promote({.artifact_dir = artifact_dir,
                        .channel = channel,
                        .evaluation = judgement.evaluation,
                        .policy = eval::PolicyJson(judgement.policy),
                        .gate_report = eval::GateReportJson(judgement.report),
                        .who = registry::CurrentUser()},
                       progress);
}

}  // namespace octavo::workflow
