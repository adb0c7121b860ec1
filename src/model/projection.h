// Linear layers that share one input, run together: the tap sees the input, it is converted once,
// and all layers are one parallel loop.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "core/thread_pool.h"
#include "kernels/activations.h"
#include "model/config.h"
#include "model/linear.h"
#include "model/profile.h"
#include "model/tap.h"

namespace octavo::model {

// What every step of a forward pass needs.
struct ForwardContext {
  const ModelConfig& config;
  Compute compute;
  core::ThreadPool& pool;
  const Tap& tap;
  Profile& profile;
};

struct Projection {
  const Linear* linear;
  float* out;        // [rows, N]
  bool add = false;  // to what is there
};

// At most kernels::kMaxProducts layers with the K of in: [rows, K] f32; `layer` is what the tap is
// told.
void Project(const ForwardContext& context, int64_t layer, const float* in, int64_t rows,
             std::initializer_list<Projection> projections, kernels::Activations& activations);

// out: [rows, N] f32 = SiLU(gate) * up of the two layers, which have the K of in: [rows, K].
// `scratch` is used where their kernels read different forms of the input.
void ProjectGated(const ForwardContext& context, int64_t layer, const float* in, int64_t rows,
                  const Linear& gate, const Linear& up, float* out, kernels::FloatBuffer& scratch,
                  kernels::Activations& activations);

}  // namespace octavo::model
