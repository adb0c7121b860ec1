#include "cli/terminal_progress.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/table.h"
#include "core/bytes.h"

namespace octavo::cli {
namespace {

constexpr double kTerminalPeriod = 0.1;
constexpr double kPlainPeriod = 10;

std::string Amount(double value, std::string_view unit) {
  if (unit == "bytes") return core::HumanBytes(static_cast<uint64_t>(value));
  return value == std::floor(value) ? fmt::format("{:.0f} {}", value, unit)
                                    : fmt::format("{:.1f} {}", value, unit);
}

// At most `columns` wide; what is too long loses its end.
std::string Fit(std::string text, int columns) {
  while (DisplayWidth(text) > columns) text.pop_back();
  return text;
}

}  // namespace

std::string HumanSeconds(double seconds) {
  const auto whole = static_cast<int64_t>(std::ceil(std::max(seconds, 0.0)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
}

std::string DescribeProgress(int64_t done, int64_t total, std::string_view unit, double seconds) {
  std::string text = Amount(static_cast<double>(done), unit);
  if (total > 0) text += fmt::format(" ({}%)", std::min<int64_t>(100 * done / total, 100));
  if (done <= 0 || seconds <= 0) return text;
  const double rate = static_cast<double>(done) / seconds;
  if (rate >= 1) text += ", " + Amount(std::floor(rate * 10) / 10, unit) + "/s";
  if (total > done) text += ", " + HumanSeconds(static_cast<double>(total - done) / rate) + " left";
  return text;
}

TerminalProgress::TerminalProgress(std::function<void(std::string_view)> write, int width,
                                   std::function<double()> elapsed)
    : write_(std::move(write)), width_(width), elapsed_(std::move(elapsed)) {}

void TerminalProgress::Begin(std::string_view step, int64_t total, std::string_view unit) {
  Clear();
  step_ = step;
  unit_ = unit;
  total_ = total;
  done_ = 0;
  started_ = drawn_ = elapsed_();
  if (width_ > 0) Draw();
}

void TerminalProgress::Advance(int64_t units) {
  done_ += units;
  if (elapsed_() - drawn_ >= (width_ > 0 ? kTerminalPeriod : kPlainPeriod)) Draw();
}

void TerminalProgress::Draw() {
  drawn_ = elapsed_();
  const std::string facts = DescribeProgress(done_, total_, unit_, drawn_ - started_);
  if (width_ == 0) {
    write_(fmt::format("{}: {}\n", step_, facts));
    return;
  }
  std::string bar;
  if (total_ > 0) {
    constexpr int64_t kCells = 24;
    const int64_t filled = std::clamp<int64_t>(kCells * done_ / total_, 0, kCells);
    for (int64_t i = 0; i < kCells; ++i) bar += i < filled ? "━" : "─";
    bar += "  ";
  }
  write_("\r\x1b[2K" + Fit(fmt::format("{}  {}{}", step_, bar, facts), width_ - 1));
  on_screen_ = true;
}

void TerminalProgress::Clear() {
  if (on_screen_) write_("\r\x1b[2K");
  on_screen_ = false;
}

void TerminalProgress::Note(std::string_view text) {
  Clear();
  write_(std::string(text) + "\n");
}

void TerminalProgress::End() {
  Clear();
  if (done_ > 0) {
    write_(fmt::format("{}: {} in {}\n", step_, Amount(static_cast<double>(done_), unit_),
                       HumanSeconds(elapsed_() - started_)));
  }
  step_.clear();
}

TerminalProgress StderrProgress() {
  int width = 0;
  winsize size{};
  if (isatty(STDERR_FILENO) == 1) {
    width = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
  }
  const auto write = [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
  };
  return {write, width, [watch = core::Stopwatch()] { return watch.Seconds(); }};
}

}  // namespace octavo::cli
