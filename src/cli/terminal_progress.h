// Progress as people see it: one line that redraws itself on a terminal, a plain line every few
// seconds elsewhere.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "core/progress.h"

namespace octavo::cli {

// "512 tokens (40%), 118.2 tokens/s, 7 s left": where a step stands after `seconds`. total 0: not
// known.
std::string DescribeProgress(int64_t done, int64_t total, std::string_view unit, double seconds);
// "4 s", "2 min 5 s", "3 h 20 min".
std::string HumanSeconds(double seconds);

class TerminalProgress final : public core::Progress {
 public:
  // Writes through `write`; `width` is the terminal's, 0 when it is not one. `elapsed` gives the
  // seconds since some fixed moment.
  TerminalProgress(std::function<void(std::string_view)> write, int width,
                   std::function<double()> elapsed);

  void Begin(std::string_view step, int64_t total, std::string_view unit) override;
  void Advance(int64_t units) override;
  void Note(std::string_view text) override;
  void End() override;
  // Takes the line off the screen, before something else is printed.
  void Clear();

 private:
  void Draw();

  std::function<void(std::string_view)> write_;
  int width_;
  std::function<double()> elapsed_;
  std::string step_;
  std::string unit_;
  int64_t total_ = 0;
  int64_t done_ = 0;
  double started_ = 0;
  double drawn_ = 0;
  bool on_screen_ = false;
};

// On stderr.
TerminalProgress StderrProgress();

}  // namespace octavo::cli
