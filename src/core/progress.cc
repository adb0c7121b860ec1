#include "core/progress.h"

namespace octavo::core {
namespace {

class Silent final : public Progress {
 public:
  void Begin(std::string_view, int64_t, std::string_view) override {}
  void Advance(int64_t) override {}
  void Note(std::string_view) override {}
  void End() override {}
};

}  // namespace

Progress& SilentProgress() {
  static Silent silent;
  return silent;
}

Status CancelToken::Check() const {
  if (cancelled()) return Error(ErrorCode::kInterrupted, "interrupted");
  return {};
}

}  // namespace octavo::core
