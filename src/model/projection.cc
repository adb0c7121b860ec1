#include "model/projection.h"

#include <algorithm>
#include <span>

#include "core/clock.h"
#include "kernels/elementwise.h"

namespace octavo::model {
namespace {

// The input as the kernels of `form` read it.
void Convert(const ForwardContext& context, InputForm form,
             std::span<const kernels::Product> products, const float* in, int64_t rows,
             kernels::Activations& activations) {
  kernels::InputOptions options;
  options.sum_inputs = kernels::SumInputs(products);
  // int8 activations are the same in both modes.
  options.round_to_bf16 = context.compute == Compute::kBF16 && form.type != kernels::InputType::kI8;
  options.fixed_scale = form.scale;
  activations.Assign(in, rows, products[0].weight->k(), form.type, context.pool, options);
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
  // The input is converted once for all layers that read it in the same form.
  InputForm done[kernels::kMaxProducts];
  size_t forms = 0;
  for (const Projection& first : projections) {
    const InputForm form = first.linear->input(context.compute);
    if (std::find(done, done + forms, form) != done + forms) continue;
    done[forms++] = form;
    kernels::Product products[kernels::kMaxProducts];
    count = 0;
    for (const Projection& p : projections) {
      if (p.linear->input(context.compute) == form) {
        products[count++] = p.linear->product(p.out, p.add);
      }
    }
    Convert(context, form, std::span(products, count), in, rows, activations);
    kernels::MatMul(activations, std::span(products, count), context.pool);
  }
  context.profile.linear_seconds += watch.Seconds();
}

void ProjectGated(const ForwardContext& context, int64_t layer, const float* in, int64_t rows,
                  const Linear& gate, const Linear& up, float* out, kernels::FloatBuffer& scratch,
                  kernels::Activations& activations) {
  const InputForm form = gate.input(context.compute);
  if (form != up.input(context.compute)) {
    float* up_out = scratch.Reserve(rows * up.n());
    Project(context, layer, in, rows, {{&gate, out}, {&up, up_out}}, activations);
    kernels::SiluMul(out, up_out, rows, up.n(), context.pool);
    return;
  }
  const Linear* linears[] = {&gate, &up};
  TellTap(context, layer, linears, in, rows);
  const core::Stopwatch watch;
  const kernels::Product products[] = {gate.product(nullptr, false), up.product(nullptr, false)};
  Convert(context, form, products, in, rows, activations);
  kernels::GatedMatMul(activations, products[0], products[1], out, context.pool);
  context.profile.linear_seconds += watch.Seconds();
}

}  // namespace octavo::model
