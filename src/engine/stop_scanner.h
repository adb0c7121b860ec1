// Stop strings: text is held back as long as it may still be the beginning of one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace octavo::engine {

// One per sequence; not thread-safe.
class StopScanner {
 public:
  explicit StopScanner(std::vector<std::string> stops) : stops_(std::move(stops)) {}
  // Adds text and returns what is now certain to be before any stop string. After a stop string was
  // found, returns nothing.
  std::string Push(std::string_view text);
  // What was held back, at the end of the text.
  std::string Finish();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace octavo::engine
