// Rotary position embedding: frequencies with their scaling, and the angles of a position.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"

namespace octavo::model {

// The head_dim / 2 inverse frequencies, scaled as the config says. Source:
// transformers/modeling_rope_utils.py
// (_compute_linear_scaling_rope_parameters, _compute_llama3_parameters).
std::vector<float> RopeFrequencies(const ModelConfig& config);

// cosine and sine [frequencies.size()] of one position; the angle is rounded to f32 first, as in
// the reference.
void RopeAngles(const std::vector<float>& frequencies, int64_t position, float* cosine,
                float* sine);

}  // namespace octavo::model
