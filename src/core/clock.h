// Time: a stopwatch for measuring and UTC timestamps for records.
#pragma once

#include <chrono>
#include <string>

namespace octavo::core {

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  void Restart() { start_ = std::chrono::steady_clock::now(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// "2026-11-24T01:43:07Z"
std::string UtcNow();

}  // namespace octavo::core
