#include "kernels/matmul.h"

#include <algorithm>

#include "core/check.h"
#include "kernels/dispatch.h"

namespace octavo::kernels {
namespace {

const MatMulEntry& EntryOf(const KernelTable& table, InputType input, Storage storage) {
  return table.matmul[static_cast<int>(input)][static_cast<int>(storage)];
}

int64_t Panels(const PackedMatrix& weight) {
  return (weight.blocks() + kPieceBlocks - 1) / kPieceBlocks;
}

// The piece of one product that covers panel `panel` of its features and `rows` rows from
// `first_row` on.
MatMulPiece PieceOf(const Activations& x, const Product& product, int64_t panel, int64_t first_row,
                    int64_t rows, float* scratch) {
  const PackedMatrix& weight = *product.weight;
  const int64_t first_block = panel * kPieceBlocks;
  const int64_t first_feature = first_block * kBlockFeatures;
  MatMulPiece piece;
  piece.x = x.row(first_row);
  piece.x_stride_bytes = x.stride_bytes();
  piece.x_scales = x.type() == InputType::kI8 ? x.scales() + first_row : nullptr;
  piece.x_sums = x.type() == InputType::kI8 ? x.sums() + first_row : nullptr;
  piece.rows = rows;
  piece.weight = weight.block(first_block);
  piece.blocks = std::min(kPieceBlocks, weight.blocks() - first_block);
  piece.columns = std::min(piece.blocks * kBlockFeatures, weight.n() - first_feature);
  piece.k = x.k();
  piece.scales = weight.scales().empty() ? nullptr : weight.scales().data() + first_feature;
  piece.bias = product.bias != nullptr ? product.bias + first_feature : nullptr;
  piece.out = product.out + first_row * weight.n() + first_feature;
  piece.out_stride = weight.n();
  piece.scratch = scratch;
  return piece;
}

}  // namespace

const MatMulEntry* FindMatMul(InputType input, Storage storage) {
  const MatMulEntry& entry = EntryOf(ActiveTable(), input, storage);
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
    entries[i] = &EntryOf(table, x.type(), weight.storage());
    OCTAVO_CHECK(weight.k() == x.k() && entries[i]->run != nullptr);
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
      entries[which]->run(PieceOf(x, products[which], panel, first_row,
                                  std::min(piece_rows, x.rows() - first_row), scratch));
    }
  });
  for (size_t i = 0; i < products.size(); ++i) {
    CallCounter* counter = products[i].counter;
    if (counter == nullptr) continue;
    counter->entry.store(entries[i], std::memory_order_relaxed);
    counter->calls.fetch_add(1, std::memory_order_relaxed);
    counter->weight_bytes.fetch_add(products[i].weight->bytes(), std::memory_order_relaxed);
  }
}

}  // namespace octavo::kernels
