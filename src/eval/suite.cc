// Reading, checking and naming suites.
#include "eval/suite.h"

#include <set>

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"

namespace octavo::eval {
namespace {

using core::Invalid;
using core::Json;
using core::Result;
using core::Status;

constexpr int64_t kMostContext = int64_t{1} << 20;
constexpr int64_t kMostTokens = int64_t{1} << 16;

Result<TextSpec> ParseText(const Json& table, const std::string& toml_path) {
  OCTAVO_RETURN_IF_ERROR(
      core::RefuseUnknownKeys(table, {"name", "file", "context", "chunks", "score"}));
  TextSpec text;
  OCTAVO_TRY(const std::string file, core::GetString(table, "file"));
  text.file = core::PathBeside(toml_path, file);
  OCTAVO_TRY(const auto name, core::GetOptionalString(table, "name"));
  text.name = name.value_or(TextName(file));
  OCTAVO_TRY(const auto context, core::GetOptionalInt(table, "context"));
  text.context = context.value_or(text.context);
  OCTAVO_TRY(const auto chunks, core::GetOptionalInt(table, "chunks"));
  if (chunks && *chunks < 1)
    return Invalid(fmt::format("chunks is {}, expected 1 or more", *chunks));
  text.chunks = chunks.value_or(0);
  OCTAVO_TRY(const auto score, core::GetOptionalString(table, "score"));
  if (score) {
    OCTAVO_TRY(text.score, ParseScore(*score));
  }
  return text;
}

Result<PromptsSpec> ParsePrompts(const Json& table, const std::string& toml_path) {
  OCTAVO_RETURN_IF_ERROR(core::RefuseUnknownKeys(table, {"file", "max_tokens"}));
  PromptsSpec prompts;
  OCTAVO_TRY(const std::string file, core::GetString(table, "file"));
  prompts.file = core::PathBeside(toml_path, file);
  OCTAVO_TRY(const auto max_tokens, core::GetOptionalInt(table, "max_tokens"));
  prompts.max_tokens = max_tokens.value_or(prompts.max_tokens);
  return prompts;
}

Status ParseMeasure(const Json& document, Suite& suite) {
  const Json* const table = core::Find(document, "measure");
  if (table == nullptr) return {};
  if (!table->is_object()) return Invalid("'measure' is no table: write [measure]");
  OCTAVO_RETURN_IF_ERROR(core::RefuseUnknownKeys(*table, {"speed", "memory"}));
  OCTAVO_TRY(const auto speed, core::GetOptionalBool(*table, "speed"));
  suite.speed = speed.value_or(suite.speed);
  OCTAVO_TRY(const auto memory, core::GetOptionalBool(*table, "memory"));
  suite.memory = memory.value_or(suite.memory);
  return {};
}

// Each table of the list `key`, read by `parse`.
template <typename T, typename Parse>
Status ParseList(const Json& document, const char* key, const Parse& parse, std::vector<T>& out) {
  const Json* const list = core::Find(document, key);
  if (list == nullptr) return {};
  if (!list->is_array()) return Invalid(fmt::format("'{0}' is no list: write [[{0}]]", key));
  for (const Json& table : *list) {
    auto item = parse(table);
    if (!item.ok()) {
      return std::move(item).error().Context(fmt::format("{} {}", key, out.size() + 1));
    }
    out.push_back(std::move(item).value());
  }
  return {};
}

}  // namespace

std::string_view ScoreName(Score score) {
  return score == Score::kAll ? "all" : "second-half";
}

Result<Score> ParseScore(std::string_view name) {
  for (Score score : {Score::kSecondHalf, Score::kAll}) {
    if (name == ScoreName(score)) return score;
  }
  return Invalid(fmt::format("score is '{}', expected second-half or all", core::Printable(name)));
}

std::string TextName(std::string_view path) {
  std::string name = core::BaseName(path);
  const size_t dot = name.rfind('.');
  if (dot != std::string::npos && dot > 0) name.resize(dot);
  return name;
}

Result<Suite> LoadSuite(const std::string& toml_path) {
  OCTAVO_TRY(const Json document, core::ReadTomlFile(toml_path));
  const auto parse = [&]() -> Result<Suite> {
    OCTAVO_RETURN_IF_ERROR(core::RefuseUnknownKeys(document, {"text", "prompts", "measure"}));
    Suite suite;
    OCTAVO_RETURN_IF_ERROR(ParseList(
        document, "text", [&](const Json& t) { return ParseText(t, toml_path); }, suite.texts));
    OCTAVO_RETURN_IF_ERROR(ParseList(
        document, "prompts", [&](const Json& t) { return ParsePrompts(t, toml_path); },
        suite.prompts));
    OCTAVO_RETURN_IF_ERROR(ParseMeasure(document, suite).Context("[measure]"));
    OCTAVO_RETURN_IF_ERROR(Validate(suite));
    return suite;
  };
  return parse().Context(toml_path);
}

Status Validate(const Suite& suite) {
  if (suite.texts.empty() && suite.prompts.empty()) {
    return Invalid("the suite asks for nothing: give it a text or prompts");
  }
  std::set<std::string> names;
  for (const TextSpec& text : suite.texts) {
    const std::string place = fmt::format("text '{}'", core::Printable(text.name));
    if (text.name.empty() || text.name == "*" ||
        text.name.find_first_of("[]") != std::string::npos) {
      return Invalid(
          fmt::format("{}: a name that policies can use has no '[' and ']' and is not '*'", place));
    }
    if (!names.insert(text.name).second) {
      return Invalid(fmt::format("{}: the name is used twice, give each text its own", place));
    }
    if (text.context < 2 || text.context > kMostContext) {
      return Invalid(
          fmt::format("{}: context is {}, expected 2 to {}", place, text.context, kMostContext));
    }
    if (text.chunks < 0) {
      return Invalid(fmt::format("{}: chunks is {}, expected 1 or more", place, text.chunks));
    }
  }
  for (const PromptsSpec& prompts : suite.prompts) {
    if (prompts.max_tokens < 1 || prompts.max_tokens > kMostTokens) {
      return Invalid(fmt::format("prompts '{}': max_tokens is {}, expected 1 to {}",
                                 core::Printable(prompts.file), prompts.max_tokens, kMostTokens));
    }
  }
  return {};
}

Result<std::string> SuiteDigest(const Suite& suite) {
  Json normal = {{"text", Json::array()},
                 {"prompts", Json::array()},
                 {"measure", {{"speed", suite.speed}, {"memory", suite.memory}}}};
  for (const TextSpec& text : suite.texts) {
    OCTAVO_TRY(std::string sha256, core::Sha256File(text.file));
    normal["text"].push_back({{"name", text.name},
                              {"sha256", std::move(sha256)},
                              {"context", text.context},
                              {"chunks", text.chunks},
                              {"score", std::string(ScoreName(text.score))}});
  }
  for (const PromptsSpec& prompts : suite.prompts) {
    OCTAVO_TRY(std::string sha256, core::Sha256File(prompts.file));
    normal["prompts"].push_back(
        {{"sha256", std::move(sha256)}, {"max_tokens", prompts.max_tokens}});
  }
  return core::Sha256Hex(core::DumpJsonLine(normal));
}

}  // namespace octavo::eval
