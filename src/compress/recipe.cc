#include "compress/recipe.h"

#include <charconv>

#include <fmt/format.h>

#include "core/bytes.h"

namespace octavo::compress {
namespace {

// More change little (docs/numerics.md).
constexpr int kDefaultRefinePasses = 4;

core::Error Unknown(const char* option, const std::string& value, const char* expected) {
  return core::Usage(
      fmt::format("{} '{}' is not known; expected {}", option, core::Printable(value), expected));
}

core::Status ParseSmoothing(const std::string& text, Recipe& recipe) {
  if (text == "none") {
    recipe.smoothing = Smoothing::kNone;
  } else if (text == "auto") {
    recipe.smoothing = Smoothing::kSearch;
  } else if (text == "awq") {
    recipe.smoothing = Smoothing::kAwq;
  } else {
    recipe.smoothing = Smoothing::kAlpha;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, recipe.alpha);
    if (error != std::errc() || stop != end || !(recipe.alpha >= 0 && recipe.alpha <= 1))
      return Unknown("--smooth", text, "none, auto, awq or an exponent from 0 to 1");
  }
  return {};
}

}  // namespace

bool Recipe::needs_calibration() const {
  return method != Method::kRtn || smoothing != Smoothing::kNone;
}

bool Recipe::needs_moments() const {
  return method != Method::kRtn || smoothing == Smoothing::kSearch || smoothing == Smoothing::kAwq;
}

core::Json Recipe::ToJson() const {
  constexpr const char* kMethods[] = {"rtn", "gptq", "awq"};
  constexpr const char* kRotations[] = {"none", "fold", "online"};
  core::Json smooth = nullptr;
  if (smoothing == Smoothing::kAlpha) smooth = alpha;
  if (smoothing == Smoothing::kSearch) smooth = "auto";
  if (smoothing == Smoothing::kAwq) smooth = "awq";
  core::Json out = {{"method", kMethods[static_cast<size_t>(method)]},
                    {"smooth", std::move(smooth)},
                    {"rotate", kRotations[static_cast<size_t>(rotate)]},
                    {"clip", clip == quant::Clip::kMse ? "mse" : "none"},
                    {"seed", seed}};
  if (method == Method::kGptq) {
    out["damping"] = damping;
    out["refine_passes"] = refine_passes;
  }
  return out;
}

core::Result<Recipe> ParseRecipe(const RecipeOptions& options) {
  Recipe out;
  out.seed = options.seed;
  out.damping = options.damping;
  OCTAVO_RETURN_IF_ERROR(ParseSmoothing(options.smooth, out));
  if (options.method == "rtn") {
    out.method = Method::kRtn;
  } else if (options.method == "gptq") {
    out.method = Method::kGptq;
  } else if (options.method == "awq") {
    out.method = Method::kAwq;
    if (out.smoothing == Smoothing::kNone) out.smoothing = Smoothing::kAwq;
  } else {
    return Unknown("--method", options.method, "rtn, gptq or awq");
  }
  if (options.rotate == "fold") {
    out.rotate = RotateMode::kFold;
  } else if (options.rotate == "online") {
    out.rotate = RotateMode::kOnline;
  } else if (options.rotate != "none") {
    return Unknown("--rotate", options.rotate, "none, fold or online");
  }
  out.clip = out.method == Method::kRtn ? quant::Clip::kNone : quant::Clip::kMse;
  if (options.clip == "mse") {
    out.clip = quant::Clip::kMse;
  } else if (options.clip == "none") {
    out.clip = quant::Clip::kNone;
  } else if (!options.clip.empty()) {
    return Unknown("--clip", options.clip, "none or mse");
  }
  if (options.refine < -1 || options.refine > 100)
    return core::Usage(fmt::format("--refine {}; expected 0 to 100 passes", options.refine));
  out.refine_passes =
      options.refine == -1 ? kDefaultRefinePasses : static_cast<int>(options.refine);
  if (!(out.damping > 0 && out.damping <= 1))
    return core::Usage(
        fmt::format("--damping {}; expected a share above 0, at most 1", out.damping));
  return out;
}

}  // namespace octavo::compress
