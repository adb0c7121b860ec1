#include "quant/second_moments.h"

#include <algorithm>

#include "core/check.h"
#include "quant/blas.h"

namespace octavo::quant {

SecondMoments::SecondMoments(int64_t k) : k_(k), matrix_(static_cast<size_t>(k * k)) {}

void SecondMoments::Add(const float* x, int64_t rows, core::ThreadPool& pool) {
  // Tiles of the lower triangle, whose size depends on K only: large enough that packing them costs
  // little, and small enough to share out.
  const int64_t tile = k_ >= 4096 ? 512 : 192;
  const int64_t side = (k_ + tile - 1) / tile;
  pool.ParallelFor(side * (side + 1) / 2, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      int64_t i = 0;
      while ((i + 1) * (i + 2) / 2 <= t) ++i;
      const int64_t j = t - i * (i + 1) / 2;
      const int64_t row = i * tile;
      const int64_t column = j * tile;
      const int64_t height = std::min(tile, k_ - row);
      float* out = matrix_.data() + row * k_ + column;
      if (i == j) {
        blas::SyrkLower(height, rows, x + row, k_, out, k_);
      } else {
        blas::Gemm(blas::Op::kTranspose, blas::Op::kNone, height, tile, rows, 1.0F, x + row, k_,
                   x + column, k_, 1.0F, out, k_);
      }
    }
  });
  rows_ += rows;
  mirrored_ = false;
}

const float* SecondMoments::matrix() const {
  if (mirrored_) return matrix_.data();
  // In squares, so that both the rows read and those written stay in the cache.
  constexpr int64_t kSquare = 64;
  for (int64_t row = 0; row < k_; row += kSquare) {
    for (int64_t column = 0; column <= row; column += kSquare) {
      for (int64_t i = row; i < std::min(row + kSquare, k_); ++i) {
        for (int64_t j = column; j < std::min(column + kSquare, i); ++j) {
          matrix_[static_cast<size_t>(j * k_ + i)] = matrix_[static_cast<size_t>(i * k_ + j)];
        }
      }
    }
  }
  mirrored_ = true;
  return matrix_.data();
}

void SecondMoments::DivideInputs(std::span<const float> factors) {
  OCTAVO_CHECK(static_cast<int64_t>(factors.size()) == k_);
  for (int64_t i = 0; i < k_; ++i) {
    for (int64_t j = 0; j < k_; ++j) {
      matrix_[static_cast<size_t>(i * k_ + j)] /=
          factors[static_cast<size_t>(i)] * factors[static_cast<size_t>(j)];
    }
  }
}

std::vector<float> SecondMoments::Diagonal() const {
  std::vector<float> out(static_cast<size_t>(k_));
  for (int64_t i = 0; i < k_; ++i) {
    out[static_cast<size_t>(i)] = matrix_[static_cast<size_t>(i * (k_ + 1))];
  }
  return out;
}

}  // namespace octavo::quant
