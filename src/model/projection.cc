#include "model/projection.h"

#include <algorithm>
#include <span>

#include "core/clock.h"
#include "kernels/elementwise.h"

namespace octavo::model {
namespace {

// The input as the kernels of `form` read it.
void Convert(const ForwardContext& context, InputForm form,
             std::span<const kernels::Product> products, const ProjectionInput& in,
             kernels::Activations& activations) {
  kernels::InputOptions options;
  options.norm = in.norm;
  options.sum_inputs = kernels::SumInputs(products);
  // int8 activations are the same in both modes.
  options.round_to_bf16 = context.compute == Compute::kBF16 && form.type != kernels::InputType::kI8;
  options.fixed_scale = form.scale;
  activations.Assign(in.x, in.rows, products[0].weight->k(), form.type, context.pool, options);
}

// A tap sees the input behind the norm, which then is done already in what is returned.
ProjectionInput TellTap(const ForwardContext& context, int64_t layer,
                        std::span<const Linear* const> linears, ProjectionInput in,
                        kernels::FloatBuffer& normed) {
  for (const Linear* linear : linears) {
    context.profile.linear_multiply_adds +=
        static_cast<double>(in.rows) * static_cast<double>(linear->n() * linear->k());
  }
  if (!context.tap) return in;
  if (in.norm.weight != nullptr) {
    const int64_t k = linears[0]->k();
    float* out = normed.Reserve(in.rows * k);
    kernels::RmsNorm(in.x, in.norm.weight, in.rows, k, in.norm.eps, out, context.pool);
    in = {out, in.rows};
  }
  context.tap(layer, linears, in.x, in.rows);
  return in;
}

// Layers that have been told to the tap.
void Multiply(const ForwardContext& context, const ProjectionInput& in,
              std::initializer_list<Projection> projections, kernels::Activations& activations) {
  // The input is converted once for all layers that read it in the same form.
  InputForm done[kernels::kMaxProducts];
  size_t forms = 0;
  for (const Projection& first : projections) {
    const InputForm form = first.linear->input(context.compute);
    if (std::find(done, done + forms, form) != done + forms) continue;
    done[forms++] = form;
    kernels::Product products[kernels::kMaxProducts];
    size_t count = 0;
    for (const Projection& p : projections) {
      if (p.linear->input(context.compute) == form) {
        products[count++] = p.linear->product(p.out, p.add);
      }
    }
    Convert(context, form, std::span(products, count), in, activations);
    kernels::MatMul(activations, std::span(products, count), context.pool);
  }
}

// Read once a step, by the caller between two loops.
void ExpectNorm(const float* norm, int64_t k) {
  for (int64_t i = 0; norm != nullptr && i < k; i += 16) __builtin_prefetch(norm + i);
}

}  // namespace

void Project(const ForwardContext& context, int64_t layer, const ProjectionInput& in,
             std::initializer_list<Projection> projections, ProjectionScratch& scratch) {
  const Linear* linears[kernels::kMaxProducts];
  size_t count = 0;
  for (const Projection& p : projections) linears[count++] = p.linear;
  const ProjectionInput told =
      TellTap(context, layer, std::span(linears, count), in, scratch.normed);
  const core::Stopwatch watch;
  Multiply(context, told, projections, scratch.activations);
  context.profile.linear_seconds += watch.Seconds();
}

void ProjectGated(const ForwardContext& context, int64_t layer, const ProjectionInput& in,
                  const Linear& gate, const Linear& up, float* out, kernels::FloatBuffer& up_out,
                  ProjectionScratch& scratch) {
  const Linear* linears[] = {&gate, &up};
  const ProjectionInput told = TellTap(context, layer, linears, in, scratch.normed);
  const core::Stopwatch watch;
  const InputForm form = gate.input(context.compute);
  if (form == up.input(context.compute)) {
    const kernels::Product products[] = {gate.product(nullptr, false), up.product(nullptr, false)};
    Convert(context, form, products, told, scratch.activations);
    kernels::GatedMatMul(scratch.activations, products[0], products[1], out, context.pool);
  } else {
    float* upped = up_out.Reserve(in.rows * up.n());
    Multiply(context, told, {{&gate, out}, {&up, upped}}, scratch.activations);
    kernels::SiluMul(out, upped, in.rows, up.n(), context.pool);
  }
  context.profile.linear_seconds += watch.Seconds();
}

void ExpectProject(const ForwardContext& context, int64_t rows, const NextProjection& next) {
  const kernels::PackedMatrix* weights[kernels::kMaxProducts];
  size_t count = 0;
  for (const Linear* linear : next.linears) weights[count++] = &linear->weight();
  kernels::ExpectMatMul(rows, std::span(weights, count), context.pool);
  if (count > 0) ExpectNorm(next.norm, weights[0]->k());
}

void ExpectProjectGated(const ForwardContext& context, int64_t rows, const Linear& gate,
                        const Linear& up, const float* norm) {
  ExpectNorm(norm, gate.k());
  kernels::ExpectGatedMatMul(rows, gate.weight(), up.weight(), context.pool);
}

}  // namespace octavo::model
