#include "workflow/pipeline.h"

#include <fmt/format.h>

#include "core/file.h"
#include "core/json.h"

namespace octavo::workflow {
namespace {

using core::Json;
using core::Result;

// The table `key`, or an empty one.
Result<Json> Table(const Json& document, std::string_view key,
                   std::initializer_list<std::string_view> known) {
  const Json* table = core::Find(document, key);
  if (table == nullptr) return Json::object();
  OCTAVO_RETURN_IF_ERROR(core::RefuseUnknownKeys(*table, known).Context(fmt::format("[{}]", key)));
  return *table;
}

core::Status ReadEval(const Json& table, eval::EvalOptions& options) {
  OCTAVO_TRY(const auto compute, core::GetOptionalString(table, "compute"));
  if (compute && *compute != "f32" && *compute != "bf16") {
    return core::Invalid(
        fmt::format("'compute' is '{}', expected \"f32\" or \"bf16\"", core::Printable(*compute)));
  }
  if (compute == "bf16") options.compute = model::Compute::kBF16;
  OCTAVO_TRY(const auto kv, core::GetOptionalInt(table, "kv"));
  if (kv && *kv != 32 && *kv != 16 && *kv != 8) {
    return core::Invalid(fmt::format("'kv' is {}, expected 32, 16 or 8", *kv));
  }
  if (kv == 16) options.kv = model::KvType::kI16;
  if (kv == 8) options.kv = model::KvType::kI8;
  return {};
}

Result<Pipeline> Parse(const Json& document, const std::string& toml_path) {
  OCTAVO_RETURN_IF_ERROR(
      core::RefuseUnknownKeys(document, {"base", "run", "quantize", "eval", "gate", "promote"}));
  const auto path = [&](const std::string& given) { return core::PathBeside(toml_path, given); };
  Pipeline out;
  OCTAVO_TRY(const std::string base, core::GetString(document, "base"));
  out.base = path(base);
  OCTAVO_TRY(const auto run, core::GetOptionalString(document, "run"));
  out.run_dir = path(run.value_or("octavo-run"));

  OCTAVO_TRY(const Json quantize, Table(document, "quantize", {"scheme", "head"}));
  OCTAVO_TRY(const auto scheme, core::GetOptionalString(quantize, "scheme").Context("[quantize]"));
  if (scheme) out.quantize.scheme = *scheme;
  OCTAVO_TRY(const auto head, core::GetOptionalInt(quantize, "head").Context("[quantize]"));
  if (head && *head != 16 && *head != 8) {
    return core::Invalid(fmt::format("[quantize]: 'head' is {}, expected 16 or 8", *head));
  }
  if (head) out.quantize.head_bits = static_cast<int>(*head);

  OCTAVO_TRY(const Json eval, Table(document, "eval", {"suite", "compute", "kv"}));
  OCTAVO_TRY(const std::string suite, core::GetString(eval, "suite").Context("[eval]"));
  out.suite = path(suite);
  OCTAVO_RETURN_IF_ERROR(ReadEval(eval, out.eval).Context("[eval]"));

  OCTAVO_TRY(const Json gate, Table(document, "gate", {"policy"}));
  OCTAVO_TRY(const auto policy, core::GetOptionalString(gate, "policy").Context("[gate]"));
  if (policy) out.policy = path(*policy);

  OCTAVO_TRY(const Json promote, Table(document, "promote", {"channel"}));
  OCTAVO_TRY(out.channel, core::GetString(promote, "channel").Context("[promote]"));
  return out;
}

}  // namespace

Result<Pipeline> LoadPipeline(const std::string& toml_path) {
  OCTAVO_TRY(const Json document, core::ReadTomlFile(toml_path));
  return Parse(document, toml_path).Context(toml_path);
}

}  // namespace octavo::workflow
