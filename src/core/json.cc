#include "core/json.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <unordered_set>

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/file.h"

namespace octavo::core {
namespace {

// Feeds the parser and keeps count of how far it came, for the errors of JsonBuilder.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    *furthest_ = ++at_;
    return *this;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** furthest_;
};

// Builds a Json from parser events. A function that returns false ends the parse with error().
class JsonBuilder final : public nlohmann::json_sax<Json> {
 public:
  explicit JsonBuilder(int max_depth) : max_depth_(max_depth) {}

  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(int64_t value) override { return Add(value); }
  bool number_unsigned(uint64_t value) override { return Add(value); }
  bool number_float(double value, const string_t& text) override {
    // The lexer turns integers that fit no 64-bit type into doubles.
    if (text.find_first_of(".eE") == std::string::npos) {
      return Refuse(fmt::format("integer {} does not fit in 64 bits", Printable(text, 40)));
    }
    return Add(value);
  }
  bool string(string_t& value) override { return Add(std::move(value)); }
  bool binary(binary_t&) override { return Refuse("binary values are not JSON"); }
  bool start_object(size_t) override { return Open(Json::object()); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& name) override {
    Frame& frame = open_.back();
    if (!frame.keys.insert(name).second) {
      return Refuse(fmt::format("key '{}' appears twice in one object", Printable(name)));
    }
    frame.key = std::move(name);
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    // Without the library's "[json.exception.parse_error.101] " and its own idea of the place.
    std::string_view reason = error.what();
    for (const std::string_view before : {"] ", ": "}) {
      const size_t at = reason.find(before);
      if (at != std::string_view::npos) reason.remove_prefix(at + before.size());
    }
    return Refuse(Printable(reason, 200));
  }

  const std::string& error() const { return error_; }
  Json Take() { return std::move(root_); }

 private:
  struct Frame {
    Json* container;
    std::string key;
    std::unordered_set<std::string> keys;
  };

  bool Refuse(std::string message) {
    if (error_.empty()) error_ = std::move(message);
    return false;
  }
  // Puts `value` where the document is now. Containers do not move while they are open: only their
  // last member grows.
  Json* Place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Frame& frame = open_.back();
    if (frame.container->is_array()) {
      auto& items = frame.container->get_ref<Json::array_t&>();
      items.push_back(std::move(value));
      return &items.back();
    }
    // Appended without the linear search of operator[]: key() has made sure that it is new.
    auto& members = frame.container->get_ref<Json::object_t&>();
    members.emplace_back(std::move(frame.key), std::move(value));
    return &members.back().second;
  }
  bool Add(Json value) {
    Place(std::move(value));
    return true;
  }
  bool Open(Json container) {
    if (open_.size() >= static_cast<size_t>(max_depth_)) {
      return Refuse(fmt::format("nested deeper than {} levels", max_depth_));
    }
    open_.push_back({Place(std::move(container)), {}, {}});
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  int max_depth_;
  Json root_;
  std::vector<Frame> open_;
  std::string error_;
};

}  // namespace

Result<Json> ParseJson(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return Exhausted(fmt::format("JSON of {}, at most {} are read", HumanBytes(text.size()),
                                 HumanBytes(limits.max_bytes)));
  }
  const char* furthest = text.data();
  JsonBuilder builder(limits.max_depth);
  const bool parsed =
      Json::sax_parse(CountingIterator(text.data(), &furthest),
                      CountingIterator(text.data() + text.size(), &furthest), &builder);
  if (parsed) return builder.Take();
  return Invalid(fmt::format("byte {} of the JSON: {}", furthest - text.data(), builder.error()));
}

Result<Json> ReadJsonFile(const std::string& path, const JsonLimits& limits) {
  OCTAVO_TRY(const std::string text, ReadFile(path, limits.max_bytes));
  return ParseJson(text, limits).Context(path);
}

std::string DumpJson(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string DumpJsonLine(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace octavo::core
