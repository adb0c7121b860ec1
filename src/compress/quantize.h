// quantize: makes a compressed-tensors folder with integer weights from a 16-bit model folder,
// tensor by tensor.
#pragma once

#include <string>

#include "core/progress.h"
#include "core/result.h"

namespace octavo::compress {

struct QuantizeOptions {
  std::string scheme = "w8a16";
  int head_bits = 16;                               // of lm_head: 16 (as stored) or 8
  int threads = 0;                                  // 0: one for each core
  uint64_t max_shard_bytes = uint64_t{5000000000};  // as Hugging Face cuts its files
};

struct QuantizeSummary {
  std::string digest;  // content digest of the folder
  std::string scheme;
  int64_t layers = 0;  // linear layers that were quantized
  int64_t base_weights_bytes = 0;
  int64_t weights_bytes = 0;
};

// Quantizes q, k, v, o, gate, up and down of each block of `model_dir`; embeddings and norms stay
// as they are stored, and so does lm_head unless head_bits is 8: then it becomes int8 with one
// scale per output, multiplied as the blocks' layers are, and if it was tied to the embedding, a
// tensor of its own (tie_word_embeddings becomes false). `out_dir` appears whole or not at all,
// with octavo.json. Memory stays at the largest tensor. The same folder and options give the same
// bytes on every CPU. Errors name folder and tensor: a scheme or architecture that octavo does not
// do, a folder that is quantized already, a weight that is not finite.
core::Result<QuantizeSummary> Quantize(const std::string& model_dir, const std::string& out_dir,
                                       const QuantizeOptions& options, core::Progress& progress,
                                       const core::CancelToken& cancel);

}  // namespace octavo::compress
