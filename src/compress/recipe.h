// How a model is quantized: the method, what is folded before it, and what it needs for that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "compress/folds.h"
#include "core/json.h"
#include "core/result.h"
#include "quant/clip.h"

namespace octavo::compress {

enum class Method : uint8_t {
  kRtn,   // round to nearest
  kGptq,  // Frantar et al. 2022
  kAwq,   // Lin et al. 2023: factors searched per group, then round to nearest with clipping
};

enum class Smoothing : uint8_t {
  kNone,
  kAlpha,   // SmoothQuant with one exponent for all
  kSearch,  // SmoothQuant with the exponent of least output error, group by group
  kAwq,     // the factors of AWQ
};

struct Recipe {
  Method method = Method::kRtn;
  Smoothing smoothing = Smoothing::kNone;
  double alpha = 0.5;  // with kAlpha
  RotateMode rotate = RotateMode::kNone;
  quant::Clip clip = quant::Clip::kNone;
  double damping = 0.01;  // of GPTQ, as a share of the mean of the Hessian's diagonal
  int refine_passes = 0;  // over the codes and scales that GPTQ chose (quant/refine.h)
  uint64_t seed = 0;      // of the rotations

  // Whether it looks at activations.
  bool needs_calibration() const;
  // Whether it looks at their second moments.
  bool needs_moments() const;
  // Whether it takes more than rounding each matrix as it is stored.
  bool walks_blocks() const { return needs_calibration() || rotate != RotateMode::kNone; }
  core::Json ToJson() const;
};

// From the options of `octavo quantize`. method: "rtn", "gptq", "awq"; smooth: "none", "auto",
// "awq" or a number in [0, 1]; rotate: "none", "fold", "online"; clip: "none", "mse" or "" (the
// method's own default). Errors are of usage.
struct RecipeOptions {
  std::string method = "rtn";
  std::string smooth = "none";
  std::string rotate = "none";
  std::string clip;
  double damping = 0.01;
  int64_t refine = -1;  // passes; -1: the default of the weights' bits
  uint64_t seed = 0;
};
core::Result<Recipe> ParseRecipe(const RecipeOptions& options);

}  // namespace octavo::compress
