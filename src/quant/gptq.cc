#include "quant/gptq.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "quant/blas.h"
#include "quant/finite.h"

namespace octavo::quant {
namespace {

// Rows are independent; those of a tile lie in the lanes of all inner loops. How many there are in
// a tile depends on N only.
int64_t RowsPerTile(int64_t n) {
  return n >= 2048 ? 128 : 64;
}

// The matrices of one tile, [K or block, rows], by position in the factor's order.
struct Tile {
  Tile(int64_t k, int64_t block, int64_t row_count)
      : rows(row_count),
        weight(static_cast<size_t>(k * row_count)),
        error(static_cast<size_t>(k * row_count)),
        target(static_cast<size_t>(block * row_count)),
        losses(static_cast<size_t>(row_count)) {}

  int64_t rows;
  std::vector<float> weight;
  std::vector<float> error;    // weight - dequantized, of the positions done
  std::vector<float> target;   // of a block: weight + what the errors before ask of it
  std::vector<double> losses;  // per row: the sum of D z^2 - added * error^2
};

// Quantizes position `j` of all rows of the tile: target and weight [rows], scales [rows] with
// their stride, codes with theirs; leaves weight - dequantized in `error`.
void QuantizeLane(const float* target, const float* weight, const float* scales,
                  int64_t scale_stride, float low, float high, double pivot, double added,
                  int64_t rows, int8_t* codes, int64_t code_stride, float* error, double* losses) {
  constexpr float kIntegers = 12582912.0F;  // as in tensor::EncodeGroup
  for (int64_t r = 0; r < rows; ++r) {
    const float scale = scales[r * scale_stride];
    float code = target[r] / scale;
    code = code < low ? low : code;
    code = code > high ? high : code;
    code = (code + kIntegers) - kIntegers;
    const double missed = target[r] - code * scale;
    error[r] = weight[r] - code * scale;
    losses[r] += pivot * missed * missed - added * error[r] * error[r];
    codes[r * code_stride] = static_cast<int8_t>(code);
  }
}

}  // namespace

core::Result<GptqResult> Gptq(std::span<const float> weight, int64_t n,
                              const tensor::Scheme& scheme, tensor::DType scale_dtype,
                              const GptqFactor& factor, const GptqOptions& options,
                              core::ThreadPool& pool) {
  const int64_t k = factor.k();
  OCTAVO_CHECK(static_cast<int64_t>(weight.size()) == n * k && options.block > 0);
  OCTAVO_RETURN_IF_ERROR(CheckFinite(weight, k));
  GptqResult out;
  tensor::QuantizedTensor& q = out.tensor;
  q.n = n;
  q.k = k;
  q.bits = scheme.weight_bits;
  q.group_size = scheme.group_size == 0 ? k : scheme.group_size;
  q.scale_dtype = scale_dtype;
  OCTAVO_CHECK(k % q.group_size == 0);
  q.codes.resize(static_cast<size_t>(n * k));
  q.scales.resize(static_cast<size_t>(n * q.groups()));
  const float low = q.bits == 8 ? -127.0F : -8.0F;
  const float high = q.bits == 8 ? 127.0F : 7.0F;

  const int64_t rows_per_tile = RowsPerTile(n);
  const int64_t tiles = (n + rows_per_tile - 1) / rows_per_tile;
  std::vector<double> losses(static_cast<size_t>(n));
  const std::vector<int64_t>& order = factor.order();
  std::vector<float> importance(static_cast<size_t>(k));  // D by input
  for (int64_t j = 0; j < k; ++j) {
    importance[static_cast<size_t>(order[static_cast<size_t>(j)])] =
        factor.pivots()[static_cast<size_t>(j)];
  }
  pool.ParallelFor(tiles, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(k));
    for (int64_t t = begin; t < end; ++t) {
      const int64_t first = t * rows_per_tile;
      Tile tile(k, std::min(options.block, k), std::min(rows_per_tile, n - first));
      for (int64_t r = 0; r < tile.rows; ++r) {
        std::copy_n(weight.begin() + (first + r) * k, k, row.begin());
        for (const int64_t dead : factor.dead()) row[static_cast<size_t>(dead)] = 0;
        for (int64_t g = 0; g < q.groups(); ++g) {
          const auto from = static_cast<size_t>(g * q.group_size);
          const auto length = static_cast<size_t>(q.group_size);
          q.scales[static_cast<size_t>((first + r) * q.groups() + g)] =
              ChooseScale(std::span<const float>(row).subspan(from, length),
                          std::span<const float>(importance).subspan(from, length), q.bits,
                          scale_dtype, options.clip);
        }
        for (int64_t j = 0; j < k; ++j) {
          tile.weight[static_cast<size_t>(j * tile.rows + r)] =
              row[static_cast<size_t>(order[static_cast<size_t>(j)])];
        }
      }

      for (int64_t b = 0; b < k; b += options.block) {
        const int64_t width = std::min(options.block, k - b);
        std::copy_n(tile.weight.begin() + b * tile.rows, width * tile.rows, tile.target.begin());
        blas::Gemm(blas::Op::kTranspose, blas::Op::kNone, width, tile.rows, b, 1.0F,
                   factor.feedback() + b, k, tile.error.data(), tile.rows, 1.0F, tile.target.data(),
                   tile.rows);
        for (int64_t j = b; j < b + width; ++j) {
          const int64_t input = order[static_cast<size_t>(j)];
          const float* error = tile.error.data() + j * tile.rows;
          QuantizeLane(tile.target.data() + (j - b) * tile.rows, tile.weight.data() + j * tile.rows,
                       q.scales.data() + first * q.groups() + input / q.group_size, q.groups(), low,
                       high, factor.pivots()[static_cast<size_t>(j)], factor.added(), tile.rows,
                       q.codes.data() + first * k + input, k, tile.error.data() + j * tile.rows,
                       tile.losses.data());
          for (int64_t later = j + 1; later < b + width; ++later) {
            const float coefficient = factor.feedback()[j * k + later];
            float* target = tile.target.data() + (later - b) * tile.rows;
            for (int64_t r = 0; r < tile.rows; ++r) target[r] += coefficient * error[r];
          }
        }
      }
      std::copy(tile.losses.begin(), tile.losses.end(), losses.begin() + first);
    }
  });
  for (const double loss : losses) out.error += loss;
  out.error = std::max(out.error, 0.0);
  return out;
}

}  // namespace octavo::quant
