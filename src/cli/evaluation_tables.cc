#include "cli/evaluation_tables.h"

#include <optional>

#include <fmt/format.h>

#include "cli/table.h"
#include "core/bytes.h"

namespace octavo::cli {
namespace {

using core::Json;

// The number at `object[first][second]`, if it is there.
std::optional<double> Number(const Json& object, std::string_view key) {
  const Json* value = core::Find(object, key);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return value->get<double>();
}
std::optional<double> Number(const Json& object, std::string_view first, std::string_view second) {
  const Json* inner = core::Find(object, first);
  return inner == nullptr ? std::nullopt : Number(*inner, second);
}

// "[1.0014, 1.0063]", or nothing.
std::string Interval(const Json& object, std::string_view key) {
  const Json* value = core::Find(object, key);
  if (value == nullptr || !value->is_array() || value->size() != 2 || !(*value)[0].is_number() ||
      !(*value)[1].is_number()) {
    return "";
  }
  return fmt::format("[{:.5g}, {:.5g}]", (*value)[0].get<double>(), (*value)[1].get<double>());
}

std::string Format(const std::optional<double>& value, const char* format) {
  return value ? fmt::format(fmt::runtime(format), *value) : std::string();
}

std::string Bytes(const std::optional<double>& value) {
  return value ? core::HumanBytes(static_cast<uint64_t>(*value)) : std::string();
}

std::string Ratio(const std::optional<double>& baseline, const std::optional<double>& candidate) {
  if (!baseline || !candidate || *baseline <= 0) return "";
  return fmt::format("{:.4f}x", *candidate / *baseline);
}

const Json& List(const Json& evaluation, std::string_view key) {
  static const Json empty = Json::array();
  const Json* list = core::Find(evaluation, key);
  return list != nullptr && list->is_array() ? *list : empty;
}

std::string Name(const Json& entry) {
  const Json* name = core::Find(entry, "name");
  return name != nullptr && name->is_string() ? name->get<std::string>() : std::string();
}

void AddQuality(const Json& evaluation, Table& table) {
  for (const Json& entry : List(evaluation, "perplexity")) {
    table.Add({"perplexity of " + Name(entry), Format(Number(entry, "baseline"), "{:.4f}"),
               Format(Number(entry, "candidate"), "{:.4f}"),
               Format(Number(entry, "ratio"), "{:.4f}x"), Interval(entry, "ratio_ci95")});
  }
  for (const Json& entry : List(evaluation, "divergence")) {
    table.Add({"mean KLD of " + Name(entry) + ", nats", "",
               Format(Number(entry, "mean_kld"), "{:.5f}"), "", Interval(entry, "mean_kld_ci95")});
    table.Add({"same top token, " + Name(entry), "", Format(Number(entry, "same_top"), "{:.4f}"),
               "", Interval(entry, "same_top_ci95")});
  }
  int64_t equal = 0;
  int64_t compared = 0;
  for (const Json& entry : List(evaluation, "generations")) {
    if (core::Find(entry, "baseline") == nullptr) continue;
    ++compared;
    if (core::Find(entry, "first_difference") == nullptr) ++equal;
  }
  if (compared > 0) {
    table.Add({"equal greedy answers", "", fmt::format("{} of {}", equal, compared), "", ""});
  }
}

void AddCost(const Json& evaluation, Table& table) {
  const auto pair = [&](std::string_view part, std::string_view key) {
    const Json* values = core::Find(evaluation, part);
    static const Json none;
    const Json& object = values == nullptr ? none : *values;
    return std::pair(Number(object, "baseline", key), Number(object, "candidate", key));
  };
  const auto speed = [&](const char* label, std::string_view key, std::string_view ratio) {
    const auto [baseline, candidate] = pair("speed", key);
    if (!candidate) return;
    table.Add({label, Format(baseline, "{:.1f} tokens/s"), Format(candidate, "{:.1f} tokens/s"),
               Format(Number(evaluation, "speed", ratio), "{:.4f}x"),
               Interval(evaluation["speed"], std::string(ratio) + "_ci95")});
  };
  const auto memory = [&](const char* label, std::string_view key) {
    const auto [baseline, candidate] = pair("memory", key);
    if (!candidate) return;
    table.Add({label, Bytes(baseline), Bytes(candidate), Ratio(baseline, candidate), ""});
  };
  speed("prefill", "prefill_tokens_per_s", "prefill_ratio");
  speed("decode", "decode_tokens_per_s", "decode_ratio");
  memory("resident weights", "weights_bytes");
  memory("peak memory", "peak_rss_bytes");
}

}  // namespace

std::string EvaluationTable(const Json& evaluation, const EvaluationLabels& labels) {
  Table table({"", labels.baseline, labels.candidate, "ratio", "95% interval"});
  if (labels.candidate_disk_bytes > 0) {
    const auto baseline = static_cast<double>(labels.baseline_disk_bytes);
    const auto candidate = static_cast<double>(labels.candidate_disk_bytes);
    table.Add(
        {"weights on disk", Bytes(baseline), Bytes(candidate), Ratio(baseline, candidate), ""});
  }
  AddQuality(evaluation, table);
  AddCost(evaluation, table);
  return table.Render();
}

std::string GateTable(const Json& gate_report) {
  Table table({"verdict", "metric", "value", "interval", "limit"});
  for (const Json& rule : List(gate_report, "rules")) {
    std::string limit;
    for (const char* name : {"max", "min", "max_drop_points"}) {
      if (const auto bound = Number(rule, name)) limit = fmt::format("{} {:.5g}", name, *bound);
    }
    table.Add({rule.value("verdict", ""), rule.value("metric", ""),
               Format(Number(rule, "value"), "{:.5g}"), Interval(rule, "interval"), limit});
  }
  return table.Render();
}

}  // namespace octavo::cli
