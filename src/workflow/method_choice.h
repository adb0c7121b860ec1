// quantize --method auto: the methods that suit a scheme are tried on some of the calibration, each
// as a whole model, and the one that diverges least from the 16-bit model on the rest is taken.
#pragma once

#include <string>
#include <vector>

#include "compress/quantize.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"

namespace octavo::workflow {

struct MethodTrial {
  compress::RecipeOptions recipe;
  double kld = 0;  // mean over the tokens of the samples that no trial was made with, nats
};

struct MethodChoice {
  std::vector<MethodTrial> trials;  // simplest first
  size_t best = 0;                  // of `trials`

  const compress::RecipeOptions& recipe() const { return trials[best].recipe; }
  core::Json ToJson() const;  // for octavo.json
};

// The recipes that are tried for options.scheme, simplest first. What options.recipe says of
// smoothing and rotation is kept; where it says nothing, forms that every loader takes are tried.
core::Result<std::vector<compress::RecipeOptions>> MethodCandidates(
    const compress::QuantizeOptions& options);

// How a recipe is told: "gptq --rotate fold".
std::string Describe(const compress::RecipeOptions& recipe);

// `options` is what Quantize will be called with, its recipe's method aside. A simpler recipe is
// left only for one that diverges at least 2 % less. Trials are made one at a time in a hidden
// folder beside `out_dir`, which is removed in the end. Errors: those of Quantize; a calibration of
// fewer than 8 samples of 2 tokens; mixed:BITS without its sensitivities, which every trial would
// measure again.
core::Result<MethodChoice> ChooseMethod(const std::string& model_dir, const std::string& out_dir,
                                        compress::QuantizeOptions options, core::Progress& progress,
                                        const core::CancelToken& cancel);

}  // namespace octavo::workflow
