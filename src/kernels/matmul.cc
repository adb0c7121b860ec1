#include "kernels/matmul.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "kernels/dispatch.h"

namespace octavo::kernels {
namespace {

// Without `run` where there is none.
const MatMulEntry& EntryOf(const KernelTable& table, InputType input, const PackedMatrix& weight) {
  static constexpr MatMulEntry kNone = {};
  const bool codes = weight.storage() == Storage::kI8;
  // Bf16 dots, and integer ones of 8-bit codes, take one scale for each feature.
  if (weight.group() > 0 && (input == InputType::kBf16 || (input == InputType::kI8 && codes)))
    return kNone;
  return table.matmul[static_cast<int>(input)][static_cast<int>(weight.storage())];
}

bool HasSums(const Activations& x, const PackedMatrix& weight) {
  return x.type() != InputType::kI8 || !NeedsSums(weight) || x.sums() != nullptr;
}

int64_t Panels(const PackedMatrix& weight) {
  return (weight.blocks() + kPieceBlocks - 1) / kPieceBlocks;
}

// All but where it goes: the piece of one product that covers panel `panel` of its features and
// `rows` rows from `first_row` on.
MatMulPiece PieceOf(const Activations& x, const Product& product, int64_t panel, int64_t first_row,
                    int64_t rows, float* scratch) {
  const PackedMatrix& weight = *product.weight;
  const int64_t first_block = panel * kPieceBlocks;
  const int64_t first_feature = first_block * kBlockFeatures;
  MatMulPiece piece;
  piece.x = x.row(first_row);
  piece.x_stride_bytes = x.stride_bytes();
  piece.tiled = x.tiled();
  piece.x_scales = x.type() == InputType::kI8 ? x.scales() + first_row : nullptr;
  piece.offsets = weight.offsets().empty() ? nullptr : weight.offsets().data() + first_feature;
  piece.rows = rows;
  piece.weight = weight.block(first_block);
  piece.blocks = std::min(kPieceBlocks, weight.blocks() - first_block);
  piece.columns = std::min(piece.blocks * kBlockFeatures, weight.n() - first_feature);
  piece.k = x.k();
  piece.scales = weight.scales().empty() ? nullptr : weight.scales().data() + first_feature;
  piece.group = weight.group();
  piece.group_scales = weight.group_scales(first_block);
  piece.group_scale_type = weight.group_scale_type();
  piece.x_sums = x.sums() != nullptr ? x.sums() + first_row * x.sums_stride() : nullptr;
  piece.x_sums_stride = x.sums_stride();
  piece.bias = product.bias != nullptr ? product.bias + first_feature : nullptr;
  piece.scratch = scratch;
  return piece;
}

void Count(const Product& product, const MatMulEntry& entry) {
  CallCounter* counter = product.counter;
  if (counter == nullptr) return;
  counter->entry.store(&entry, std::memory_order_relaxed);
  counter->calls.fetch_add(1, std::memory_order_relaxed);
  counter->weight_bytes.fetch_add(product.weight->bytes(), std::memory_order_relaxed);
}

}  // namespace

const MatMulEntry* FindMatMul(InputType input, const PackedMatrix& weight) {
  const MatMulEntry& entry = EntryOf(ActiveTable(), input, weight);
  return entry.run == nullptr ? nullptr : &entry;
}

void MatMul(const Activations& x, std::span<const Product> products, core::ThreadPool& pool) {
  OCTAVO_CHECK(products.size() <= kMaxProducts);
  if (x.rows() == 0) return;
  const KernelTable& table = ActiveTable();
  const MatMulEntry* entries[kMaxProducts];
  int64_t panels = 0;
  int64_t piece_rows = kPieceRows;
  for (size_t i = 0; i < products.size(); ++i) {
    const PackedMatrix& weight = *products[i].weight;
    entries[i] = &EntryOf(table, x.type(), weight);
    OCTAVO_CHECK(weight.k() == x.k() && entries[i]->run != nullptr && HasSums(x, weight));
    panels += Panels(weight);
    piece_rows = std::min(piece_rows, entries[i]->piece_rows);
  }
  const int64_t row_pieces = (x.rows() + piece_rows - 1) / piece_rows;
  // A panel's weights are unpacked once for up to piece_rows rows, so the row pieces of one panel
  // stay together.
  pool.ParallelFor(panels * row_pieces, 1, [&](int64_t begin, int64_t end) {
    float* scratch = ThreadScratch(kPieceScratch);
    for (int64_t i = begin; i < end; ++i) {
      int64_t panel = i / row_pieces;
      size_t which = 0;
      while (panel >= Panels(*products[which].weight)) panel -= Panels(*products[which++].weight);
      const int64_t first_row = i % row_pieces * piece_rows;
      const Product& product = products[which];
      MatMulPiece piece = PieceOf(x, product, panel, first_row,
                                  std::min(piece_rows, x.rows() - first_row), scratch);
      piece.out_stride = product.weight->n();
      piece.out =
          product.out + first_row * piece.out_stride + panel * kPieceBlocks * kBlockFeatures;
      piece.add = product.add;
      entries[which]->run(piece);
    }
  });
  for (size_t i = 0; i < products.size(); ++i) Count(products[i], *entries[i]);
}

void GatedMatMul(const Activations& x, const Product& gate, const Product& up, float* out,
                 core::ThreadPool& pool) {
  if (x.rows() == 0) return;
  const KernelTable& table = ActiveTable();
  const MatMulEntry& gate_entry = EntryOf(table, x.type(), *gate.weight);
  const MatMulEntry& up_entry = EntryOf(table, x.type(), *up.weight);
  const int64_t n = gate.weight->n();
  OCTAVO_CHECK(up.weight->n() == n && gate.weight->k() == x.k() && up.weight->k() == x.k() &&
               gate_entry.run != nullptr && up_entry.run != nullptr && HasSums(x, *gate.weight) &&
               HasSums(x, *up.weight));
  const int64_t piece_rows = std::min(gate_entry.piece_rows, up_entry.piece_rows);
  const int64_t row_pieces = (x.rows() + piece_rows - 1) / piece_rows;
  constexpr int64_t kWidth = kPieceBlocks * kBlockFeatures;
  pool.ParallelFor(Panels(*gate.weight) * row_pieces, 1, [&](int64_t begin, int64_t end) {
    float* scratch = ThreadScratch(kPieceScratch + 2 * kPieceRows * kWidth);
    float* gated = scratch + kPieceScratch;
    float* upped = gated + kPieceRows * kWidth;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first_row = i % row_pieces * piece_rows;
      const int64_t rows = std::min(piece_rows, x.rows() - first_row);
      const auto run = [&](const Product& product, const MatMulEntry& entry, float* to) {
        MatMulPiece piece = PieceOf(x, product, i / row_pieces, first_row, rows, scratch);
        piece.out = to;
        piece.out_stride = kWidth;
        piece.add = false;
        entry.run(piece);
        return piece.columns;
      };
      run(gate, gate_entry, gated);
      const int64_t columns = run(up, up_entry, upped);
      float* piece_out = out + first_row * n + i / row_pieces * kWidth;
      for (int64_t r = 0; r < rows; ++r) {
        table.silu_mul(gated + r * kWidth, upped + r * kWidth, columns);
        std::memcpy(piece_out + r * n, gated + r * kWidth,
                    static_cast<size_t>(columns) * sizeof(float));
      }
    }
  });
  Count(gate, gate_entry);
  Count(up, up_entry);
}

}  // namespace octavo::kernels
