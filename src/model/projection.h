// Linear layers that share one input, run together: the tap sees the input, it is converted once,
// and all layers are one parallel loop.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>

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

// [rows, K] f32, which pass a norm first where there is one.
struct ProjectionInput {
  const float* x;
  int64_t rows;
  kernels::RowNorm norm = {};
};

// Holds an input on its way to the kernels, and what a tap is shown of it.
struct ProjectionScratch {
  kernels::Activations activations;
  kernels::FloatBuffer normed;
};

// At most kernels::kMaxProducts layers with the K of `in`; `layer` is what the tap is told.
void Project(const ForwardContext& context, int64_t layer, const ProjectionInput& in,
             std::initializer_list<Projection> projections, ProjectionScratch& scratch);

// out: [rows, N] f32 = SiLU(gate) * up of the two layers, which have the K of `in`. `up_out` is
// used where their kernels read different forms of the input.
void ProjectGated(const ForwardContext& context, int64_t layer, const ProjectionInput& in,
                  const Linear& gate, const Linear& up, float* out, kernels::FloatBuffer& up_out,
                  ProjectionScratch& scratch);

// Layers that share an input, and the weights [K] of the norm that it passes first; nullptr: none.
struct NextProjection {
  std::span<const Linear* const> linears;
  const float* norm = nullptr;
};

// Tell threads which layers Project, or ProjectGated, is called with after the work that begins
// now: while they wait in it they ask for those weights. The norm's are asked for at once.
void ExpectProject(const ForwardContext& context, int64_t rows, const NextProjection& next);
void ExpectProjectGated(const ForwardContext& context, int64_t rows, const Linear& gate,
                        const Linear& up, const float* norm);

}  // namespace octavo::model
