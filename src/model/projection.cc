#include "model/projection.h"

#include <span>

#include "core/check.h"
#include "core/clock.h"

namespace octavo::model {
namespace {

// Runs those of the layers that read their input as `type`.
void ProjectAs(kernels::InputType type, const ForwardContext& context, const float* in,
               int64_t rows, std::initializer_list<Projection> projections,
               kernels::Activations& activations) {
  kernels::Product products[kernels::kMaxProducts];
  size_t count = 0;
  int64_t k = 0;
  bool native = true;
  for (const Projection& p : projections) {
    if (p.linear->input(context.compute) != type) continue;
    k = p.linear->k();
    native = native && kernels::FindMatMul(type, p.linear->weight().storage()) != nullptr;
    products[count++] = p.linear->product(p.out);
  }
  if (count == 0) return;
  if (native) {
    activations.Assign(in, rows, k, type, context.pool);
  } else {
    OCTAVO_CHECK(type == kernels::InputType::kBf16);
    activations.AssignRounded(in, rows, k, context.pool);
  }
  kernels::MatMul(activations, std::span(products, count), context.pool);
}

}  // namespace

void Project(const ForwardContext& context, int64_t layer, const float* in, int64_t rows,
             std::initializer_list<Projection> projections, kernels::Activations& activations) {
  if (context.tap) {
    const Linear* linears[kernels::kMaxProducts];
    size_t count = 0;
    for (const Projection& p : projections) linears[count++] = p.linear;
    context.tap(layer, std::span(linears, count), in, rows);
  }
  const core::Stopwatch watch;
  for (const auto type :
       {kernels::InputType::kF32, kernels::InputType::kBf16, kernels::InputType::kI8}) {
    ProjectAs(type, context, in, rows, projections, activations);
  }
  context.profile.linear_seconds += watch.Seconds();
  for (const Projection& p : projections) {
    context.profile.linear_multiply_adds +=
        static_cast<double>(rows) * static_cast<double>(p.linear->n() * p.linear->k());
  }
}

}  // namespace octavo::model
