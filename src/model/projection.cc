#include "model/projection.h"

#include <span>

#include "core/clock.h"
#include "kernels/elementwise.h"

namespace octavo::model {
namespace {

// The input as the kernels of `type` read it.
void Convert(const ForwardContext& context, kernels::InputType type,
             std::span<const kernels::Product> products, const float* in, int64_t rows,
             kernels::Activations& activations) {
  kernels::InputOptions options;
  options.sum_inputs = kernels::SumInputs(products);
  options.round_to_bf16 = context.compute == Compute::kBF16;
  activations.Assign(in, rows, products[0].weight->k(), type, context.pool, options);
}

// Runs those of the layers that read their input as `type`.
void ProjectAs(kernels::InputType type, const ForwardContext& context, const float* in,
               int64_t rows, std::initializer_list<Projection> projections,
               kernels::Activations& activations) {
  kernels::Product products[kernels::kMaxProducts];
  size_t count = 0;
  for (const Projection& p : projections) {
    if (p.linear->input(context.compute) == type)
      products[count++] = p.linear->product(p.out, p.add);
  }
  if (count == 0) return;
  Convert(context, type, std::span(products, count), in, rows, activations);
  kernels::MatMul(activations, std::span(products, count), context.pool);
}

void TellTap(const ForwardContext& context, int64_t layer, std::span<const Linear* const> linears,
             const float* in, int64_t rows) {
  if (context.tap) context.tap(layer, linears, in, rows);
  for (const Linear* linear : linears) {
    context.profile.linear_multiply_adds +=
        static_cast<double>(rows) * static_cast<double>(linear->n() * linear->k());
  }
}

}  // namespace

void Project(const ForwardContext& context, int64_t layer, const float* in, int64_t rows,
             std::initializer_list<Projection> projections, kernels::Activations& activations) {
  const Linear* linears[kernels::kMaxProducts];
  size_t count = 0;
  for (const Projection& p : projections) linears[count++] = p.linear;
  TellTap(context, layer, std::span(linears, count), in, rows);
  const core::Stopwatch watch;
  for (int type = 0; type < kernels::kInputCount; ++type) {
    ProjectAs(static_cast<kernels::InputType>(type), context, in, rows, projections, activations);
  }
  context.profile.linear_seconds += watch.Seconds();
}

void ProjectGated(const ForwardContext& context, int64_t layer, const float* in, int64_t rows,
                  const Linear& gate, const Linear& up, float* out, kernels::FloatBuffer& scratch,
                  kernels::Activations& activations) {
  const kernels::InputType type = gate.input(context.compute);
  if (type != up.input(context.compute)) {
    float* up_out = scratch.Reserve(rows * up.n());
    Project(context, layer, in, rows, {{&gate, out}, {&up, up_out}}, activations);
    kernels::SiluMul(out, up_out, rows, up.n(), context.pool);
    return;
  }
  const Linear* linears[] = {&gate, &up};
  TellTap(context, layer, linears, in, rows);
  const core::Stopwatch watch;
  const kernels::Product products[] = {gate.product(nullptr, false), up.product(nullptr, false)};
  Convert(context, type, products, in, rows, activations);
  kernels::GatedMatMul(activations, products[0], products[1], out, context.pool);
  context.profile.linear_seconds += watch.Seconds();
}

}  // namespace octavo::model
