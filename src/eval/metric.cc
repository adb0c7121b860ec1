// Walking a metric path through an evaluation document.
#include "eval/metric.h"

#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "core/bytes.h"

namespace octavo::eval {
namespace {

using core::Invalid;
using core::Json;
using core::Printable;
using core::Result;
using stats::Interval;

// One part of a path between dots: a field, and for a list the name of its entry ("*": each).
struct Step {
  std::string_view field;
  std::optional<std::string_view> entry;
};

// A value that a path has reached, and the object that holds it.
struct Place {
  std::string name;  // the path that led here, with names instead of stars
  const Json* value = nullptr;
  const Json* holder = nullptr;
};

Result<std::vector<Step>> ParsePath(std::string_view path) {
  std::vector<Step> steps;
  std::string_view rest = path;
  while (true) {
    const size_t end = rest.find_first_of(".[");
    Step step{rest.substr(0, end), std::nullopt};
    rest.remove_prefix(step.field.size());
    if (rest.starts_with('[')) {
      const size_t close = rest.find(']');
      if (close == std::string_view::npos || close == 1) {
        return Invalid(
            fmt::format("metric '{}': expected a name or * and ']' after '['", Printable(path)));
      }
      step.entry = rest.substr(1, close - 1);
      rest.remove_prefix(close + 1);
    }
    if (step.field.empty() || (!rest.empty() && !rest.starts_with('.'))) {
      return Invalid(
          fmt::format("metric '{}' is no path, expected a form like perplexity[*].ratio or "
                      "memory.weights_ratio",
                      Printable(path)));
    }
    steps.push_back(step);
    if (rest.empty()) return steps;
    rest.remove_prefix(1);
  }
}

// "name, tokens, ratio", for errors.
std::string FieldNames(const Json& object) {
  std::string names;
  for (const auto& [key, value] : object.items()) {
    if (!names.empty()) names += ", ";
    names += Printable(key, 40);
  }
  return names.empty() ? "nothing" : names;
}

std::string EntryName(const Json& entry) {
  const Json* const name = core::Find(entry, "name");
  return name != nullptr && name->is_string() ? name->get<std::string>() : std::string();
}

std::string EntryNames(const Json& list) {
  std::string names;
  for (const Json& entry : list) {
    if (!names.empty()) names += ", ";
    names += Printable(EntryName(entry), 40);
  }
  return names;
}

Result<Place> EnterField(const Place& place, std::string_view field) {
  const Json* const value = core::Find(*place.value, field);
  const std::string name =
      place.name.empty() ? std::string(field) : place.name + "." + std::string(field);
  if (value != nullptr) return Place{name, value, place.value};
  if (place.value->is_object() && place.value->contains(field)) {
    return Invalid(fmt::format("{} is null: this evaluation did not measure it", Printable(name)));
  }
  return Invalid(fmt::format("the evaluation has no {}; {} has {}", Printable(name),
                             place.name.empty() ? "it" : Printable(place.name),
                             place.value->is_object() ? FieldNames(*place.value) : "no fields"));
}

// The entries that `entry` names; no match is an error, so that a rule never holds for want of
// anything to hold for.
Result<std::vector<Place>> EnterList(const Place& list, std::string_view entry) {
  if (!list.value->is_array()) {
    return Invalid(fmt::format("{} is not a list, so it takes no [...]", Printable(list.name)));
  }
  if (list.value->empty()) {
    return Invalid(
        fmt::format("{} is empty: this evaluation did not measure it", Printable(list.name)));
  }
  std::vector<Place> places;
  for (const Json& value : *list.value) {
    const std::string name = EntryName(value);
    if (entry != "*" && entry != name) continue;
    places.push_back({fmt::format("{}[{}]", list.name, name), &value, list.value});
  }
  if (places.empty()) {
    return Invalid(fmt::format("{} has no entry '{}'; it has {}", Printable(list.name),
                               Printable(entry), EntryNames(*list.value)));
  }
  return places;
}

Result<std::vector<Place>> Walk(const Json& evaluation, const std::vector<Step>& steps) {
  std::vector<Place> places = {{"", &evaluation, nullptr}};
  for (const Step& step : steps) {
    std::vector<Place> next;
    for (const Place& place : places) {
      OCTAVO_TRY(Place field, EnterField(place, step.field));
      if (step.entry) {
        OCTAVO_TRY(std::vector<Place> entries, EnterList(field, *step.entry));
        for (Place& entry : entries) next.push_back(std::move(entry));
      } else if (field.value->is_array()) {
        return Invalid(fmt::format("{} is a list: say which entry, as in {}[*]",
                                   Printable(field.name), Printable(field.name)));
      } else {
        next.push_back(std::move(field));
      }
    }
    places = std::move(next);
  }
  return places;
}

Result<double> Number(const Json& value, std::string_view name) {
  if (!value.is_number()) return Invalid(fmt::format("{} is not a number", Printable(name)));
  return value.get<double>();
}

// `holder`'s field `key` as [lower, upper] around `value`; nothing when it is absent or null.
Result<std::optional<Interval>> ReadInterval(const Json& holder, const std::string& key,
                                             double value) {
  const Json* const pair = core::Find(holder, key);
  if (pair == nullptr) return std::optional<Interval>();
  if (!pair->is_array() || pair->size() != 2 || !(*pair)[0].is_number() ||
      !(*pair)[1].is_number()) {
    return Invalid(fmt::format("{} is not a list of two numbers", key));
  }
  const Interval interval{(*pair)[0].get<double>(), (*pair)[1].get<double>()};
  if (!(interval.lower <= value && value <= interval.upper)) {
    return Invalid(fmt::format("{} is [{}, {}], which does not hold the value {}", key,
                               interval.lower, interval.upper, value));
  }
  return std::optional(interval);
}

// How many independent samples an interval in `holder` rests on; 0 when it does not say.
int64_t Samples(const Json& holder) {
  for (const char* key : {"windows", "rounds", "n"}) {
    const Json* const count = core::Find(holder, key);
    if (count != nullptr && count->is_number_integer()) return count->get<int64_t>();
  }
  return 0;
}

// Documents hold 95 % intervals; another confidence is computed from the number of clusters that
// went into them. Ratios have their t interval in the logarithm.
Result<Interval> Carry(const Json& holder, double value, const Interval& at95, bool is_ratio,
                       double confidence) {
  constexpr double kStored = 0.95;
  if (confidence == kStored) return at95;
  const int64_t count = Samples(holder);
  if (count < 2) {
    return Invalid(fmt::format(
        "confidence {} needs to know from how many windows (2 or more) the interval came; use 0.95",
        confidence));
  }
  if (!is_ratio) return stats::AtConfidence(value, at95, kStored, confidence, count);
  if (at95.lower <= 0) return Invalid("the interval of a ratio reaches down to 0");
  const Interval log = stats::AtConfidence(
      std::log(value), {std::log(at95.lower), std::log(at95.upper)}, kStored, confidence, count);
  return Interval{std::exp(log.lower), std::exp(log.upper)};
}

Result<Measurement> MeasurePlace(const Place& place, const Step& last, double confidence) {
  OCTAVO_TRY(const double value, Number(*place.value, place.name));
  Measurement measured{place.name, value, std::nullopt, false};
  const std::string key = std::string(last.field) + "_ci95";
  OCTAVO_TRY(const std::optional<Interval> at95, ReadInterval(*place.holder, key, value));
  // These two are estimates whether or not the document says so.
  const bool must_be_sampled = last.field == "ratio" || last.field == "mean_kld";
  measured.sampled = must_be_sampled || place.holder->contains(key);
  if (at95) {
    const bool is_ratio = last.field.ends_with("ratio");
    OCTAVO_TRY(measured.interval, Carry(*place.holder, value, *at95, is_ratio, confidence));
  }
  return measured;
}

// A ratio that follows from two numbers of the document.
struct Derived {
  std::string_view path;
  std::string_view numerator;
  std::string_view denominator;
};
constexpr std::array<Derived, 4> kDerived = {{
    {"memory.weights_ratio", "memory.candidate.weights_bytes", "memory.baseline.weights_bytes"},
    {"memory.peak_rss_ratio", "memory.candidate.peak_rss_bytes", "memory.baseline.peak_rss_bytes"},
    {"speed.prefill_ratio", "speed.candidate.prefill_tokens_per_s",
     "speed.baseline.prefill_tokens_per_s"},
    {"speed.decode_ratio", "speed.candidate.decode_tokens_per_s",
     "speed.baseline.decode_tokens_per_s"},
}};

Result<double> OneNumber(const Json& evaluation, std::string_view path) {
  OCTAVO_TRY(const std::vector<Step> steps, ParsePath(path));
  OCTAVO_TRY(const std::vector<Place> places, Walk(evaluation, steps));
  return Number(*places.front().value, path);
}

Result<Measurement> MeasureDerived(const Json& evaluation, const Derived& derived) {
  OCTAVO_TRY(const double numerator, OneNumber(evaluation, derived.numerator));
  OCTAVO_TRY(const double denominator, OneNumber(evaluation, derived.denominator));
  if (!(numerator >= 0 && denominator > 0)) {
    return Invalid(fmt::format("{}: cannot divide {} by {}", derived.path, numerator, denominator));
  }
  return Measurement{std::string(derived.path), numerator / denominator, std::nullopt, false};
}

// True when the document itself has the field that `derived` names.
bool HasField(const Json& evaluation, const Derived& derived) {
  const size_t dot = derived.path.find('.');
  const Json* const section = core::Find(evaluation, derived.path.substr(0, dot));
  return section != nullptr && core::Find(*section, derived.path.substr(dot + 1)) != nullptr;
}

}  // namespace

Result<std::vector<Measurement>> Measure(const Json& evaluation, std::string_view path,
                                         double confidence) {
  for (const Derived& derived : kDerived) {
    if (derived.path != path || HasField(evaluation, derived)) continue;
    OCTAVO_TRY(Measurement measured, MeasureDerived(evaluation, derived));
    return std::vector<Measurement>{std::move(measured)};
  }
  OCTAVO_TRY(const std::vector<Step> steps, ParsePath(path));
  OCTAVO_TRY(const std::vector<Place> places, Walk(evaluation, steps));
  std::vector<Measurement> measurements;
  for (const Place& place : places) {
    auto measured = MeasurePlace(place, steps.back(), confidence);
    if (!measured.ok()) return std::move(measured).error().Context(place.name);
    measurements.push_back(std::move(measured).value());
  }
  return measurements;
}

Result<std::vector<Measurement>> MeasureDrop(const Json& evaluation, std::string_view path,
                                             double confidence) {
  OCTAVO_TRY(std::vector<Step> steps, ParsePath(path));
  const Step score = steps.back();
  steps.pop_back();
  if (steps.empty() || score.entry) {
    return Invalid(fmt::format("metric '{}': max_drop_points needs a path like tasks[piqa].acc",
                               Printable(path)));
  }
  OCTAVO_TRY(const std::vector<Place> tasks, Walk(evaluation, steps));
  std::vector<Measurement> measurements;
  for (const Place& task : tasks) {
    double scores[2];
    for (int side = 0; side < 2; ++side) {
      OCTAVO_TRY(const Place model, EnterField(task, side == 0 ? "baseline" : "candidate"));
      OCTAVO_TRY(const Place value, EnterField(model, score.field));
      OCTAVO_TRY(scores[side], Number(*value.value, value.name));
    }
    Measurement measured{fmt::format("{}.{}", task.name, score.field),
                         100 * (scores[0] - scores[1]), std::nullopt, true};
    if (score.field == "acc") {
      OCTAVO_TRY(const auto difference,
                 ReadInterval(*task.value, "difference_ci95", scores[1] - scores[0]));
      if (difference) {
        OCTAVO_TRY(const Interval carried,
                   Carry(*task.value, scores[1] - scores[0], *difference, false, confidence));
        measured.interval = Interval{-100 * carried.upper, -100 * carried.lower};
      }
    }
    measurements.push_back(std::move(measured));
  }
  return measurements;
}

}  // namespace octavo::eval
