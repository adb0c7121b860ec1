// quantize: makes a compressed-tensors folder with integer weights from a 16-bit model folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/calibration.h"
#include "compress/recipe.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"
#include "model/config.h"

namespace octavo::compress {

struct QuantizeOptions {
  std::string scheme = "w8a16";
  int head_bits = 16;                               // of lm_head: 16 (as stored) or 8
  std::vector<std::string> keep = {};               // REGEX=SCHEME (layer_plan.h)
  RecipeOptions recipe = {};                        // method, smoothing, rotation
  std::string calibration = {};                     // a calibration folder; empty: none
  int64_t most_samples = 0;                         // of it, the first ones; 0: all
  core::Json choice = nullptr;                      // for octavo.json: why this recipe
  std::string sensitivity = {};                     // a document for mixed:BITS; empty: measured
  int threads = 0;                                  // 0: one for each core
  uint64_t max_shard_bytes = uint64_t{5000000000};  // as Hugging Face cuts its files
  int64_t max_states_bytes = int64_t{1} << 30;      // of hidden states in memory
};

// Whether a model can read a calibration's tokens: ids of its vocabulary, samples within its
// context.
core::Status CheckTokens(const Calibration& calibration, const model::ModelConfig& config);

struct QuantizeSummary {
  std::string digest;  // content digest of the folder
  std::string scheme;
  int64_t layers = 0;  // linear layers that were quantized
  int64_t base_weights_bytes = 0;
  int64_t weights_bytes = 0;
  std::vector<std::string> notes;  // what the user should know of it, a sentence each
};

// Quantizes q, k, v, o, gate, up and down of each block of `model_dir`; embeddings and norms stay
// as they are stored unless they are rotated, and so does lm_head unless head_bits is 8: then it
// becomes int8 with one scale per output. A head that is quantized or rotated is a tensor of its
// own (tie_word_embeddings becomes false). `out_dir` appears whole or not at all, with octavo.json.
// Plain rounding goes tensor by tensor in the memory of the largest; a recipe that looks at
// activations or rotates goes block by block, keeps a journal beside `out_dir`, and when called
// again after a kill goes on with the block that was under way; so does the measuring of
// mixed:BITS, group by group. The same folder, options and calibration give the same bytes for any
// number of threads; plain rounding on every CPU, too. Errors name folder and tensor: a scheme or
// architecture that octavo does not do, a folder that is quantized already, a weight that is not
// finite, a recipe without the calibration it needs.
core::Result<QuantizeSummary> Quantize(const std::string& model_dir, const std::string& out_dir,
                                       const QuantizeOptions& options, core::Progress& progress,
                                       const core::CancelToken& cancel);

}  // namespace octavo::compress
