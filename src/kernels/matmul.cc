#include "kernels/matmul.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "kernels/cpu.h"
#include "kernels/dispatch.h"

namespace octavo::kernels {
namespace {

// Without `run` where there is none.
const MatMulEntry& EntryOf(const KernelTable& table, InputType input, const PackedMatrix& weight) {
  static constexpr MatMulEntry kNone = {};
  const bool codes = weight.storage() == Storage::kI8;
  // Bf16 dots, and int8 by 8-bit codes, take one scale for each feature.
  if (weight.group() > 0 && (input == InputType::kBf16 || (input == InputType::kI8 && codes)))
    return kNone;
  return table.matmul[static_cast<int>(input)][static_cast<int>(weight.storage())];
}

bool HasSums(const Activations& x, const PackedMatrix& weight) {
  if (weight.group() == 0) return true;
  return x.sum_inputs() > 0 && weight.group() % x.sum_inputs() == 0;
}

// Weights up to this size every thread reads for rows of its own, which then stay in its cache from
// one layer to the next; of larger ones each thread reads its part for all rows.
constexpr int64_t kSharedWeightBytes = int64_t{4} << 20;
constexpr int64_t kRowUnit = 2 * kTileSide;  // as many rows as AMX multiplies at once

bool ByRows(int64_t rows, int64_t weight_bytes, int threads) {
  return weight_bytes <= kSharedWeightBytes && rows >= threads * kRowUnit;
}

// Rows of a piece at most, in whole units.
int64_t MostRows(const Activations& x) {
  return kPieceRows / CodeRows(x.type()) / kRowUnit * kRowUnit;
}

// How a product is cut into pieces: some rows by a panel of features.
class Pieces {
 public:
  Pieces(int64_t panels, const Activations& x, int64_t best_rows, int64_t weight_bytes, int threads)
      : panels_(panels),
        rows_(x.rows()),
        by_rows_(ByRows(rows_, weight_bytes, threads)),
        piece_rows_(std::min(MostRows(x), best_rows)) {
    if (by_rows_) {
      const int64_t share = (rows_ - 1) / threads + 1;
      const int64_t cuts = (share - 1) / MostRows(x) + 1;
      piece_rows_ = std::min(MostRows(x), ((share - 1) / cuts / kRowUnit + 1) * kRowUnit);
    }
    row_pieces_ = (rows_ - 1) / piece_rows_ + 1;
  }
  int64_t count() const { return panels_ * row_pieces_; }
  int64_t panel(int64_t i) const { return by_rows_ ? i % panels_ : i / row_pieces_; }
  int64_t first_row(int64_t i) const {
    return (by_rows_ ? i / panels_ : i % row_pieces_) * piece_rows_;
  }
  int64_t rows(int64_t i) const { return std::min(piece_rows_, rows_ - first_row(i)); }

 private:
  int64_t panels_;
  int64_t rows_;
  bool by_rows_;  // all panels of some rows, then the next rows
  int64_t piece_rows_;
  int64_t row_pieces_;
};

// All but where it goes: the piece of one product that covers panel `panel` of its features and
// `rows` rows from `first_row` on.
MatMulPiece PieceOf(const Activations& x, const Product& product, int64_t panel, int64_t first_row,
                    int64_t rows, float* scratch) {
  const PackedMatrix& weight = *product.weight;
  const int64_t first_feature = panel * kPanelFeatures;
  MatMulPiece piece;
  const bool codes = x.type() == InputType::kI8 || x.type() == InputType::kI24;
  const bool sums = codes && weight.group() > 0;
  piece.x = sums ? x.signed_row(first_row) : x.row(first_row);
  piece.x_stride_bytes = x.stride_bytes();
  piece.tiled = x.tiled();
  piece.x_scales = codes ? x.scales() + first_row : nullptr;
  piece.offsets = weight.offsets().empty() ? nullptr : weight.offsets().data() + first_feature;
  piece.rows = rows;
  piece.weight = weight.panel(panel);
  piece.blocks = weight.panel_blocks(panel);
  piece.columns = std::min(piece.blocks * kBlockFeatures, weight.n() - first_feature);
  piece.k = x.k();
  piece.scales = weight.scales().empty() ? nullptr : weight.scales().data() + first_feature;
  piece.group = weight.group();
  piece.group_scales = weight.group_scales(panel);
  piece.group_scale_type = weight.group_scale_type();
  piece.x_sums = sums ? x.sums(first_row) : nullptr;
  piece.x_sums_stride = sums ? x.sums_stride() : 0;
  piece.sum_inputs = x.sum_inputs();
  piece.bias = product.bias != nullptr ? product.bias + first_feature : nullptr;
  piece.add = false;
  piece.scratch = scratch;
  piece.strands = HostCpu().strands;
  piece.next = nullptr;
  piece.next_bytes = 0;
  return piece;
}

void ComesNext(const PackedMatrix& weight, int64_t panel, MatMulPiece& piece) {
  piece.next = weight.panel(panel);
  piece.next_bytes = weight.panel_blocks(panel) * weight.block_bytes();
}

// A thread asks for as much while it waits, of what then stays in its second-level cache.
constexpr int64_t kWaitingBytes = int64_t{256} << 10;

// The panels of a weight from `panel` on, no more than so many bytes.
core::ByteSpan PanelsFrom(const PackedMatrix& weight, int64_t panel, int64_t most) {
  const int64_t blocks = weight.blocks() - panel * kPanelBlocks;
  return {weight.panel(panel), static_cast<size_t>(std::min(most, blocks * weight.block_bytes()))};
}

void Count(const Activations& x, const Product& product, const MatMulEntry& entry) {
  CallCounter* counter = product.counter;
  if (counter == nullptr) return;
  counter->entry.store(&entry, std::memory_order_relaxed);
  counter->fixed_scale.store(x.fixed_scale(), std::memory_order_relaxed);
  // One thread at a time counts, and an atomic addition would wait for its line.
  const auto add = [](std::atomic<int64_t>& to, int64_t n) {
    to.store(to.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  };
  add(counter->calls, 1);
  add(counter->weight_bytes, product.weight->bytes());
}

}  // namespace

const MatMulEntry* FindMatMul(InputType input, const PackedMatrix& weight) {
  const MatMulEntry& entry = EntryOf(ActiveTable(), input, weight);
  return entry.run == nullptr ? nullptr : &entry;
}

int64_t SumInputs(std::span<const Product> products) {
  int64_t common = 0;
  for (const Product& product : products) common = std::gcd(common, product.weight->group());
  return common;
}

void MatMul(const Activations& x, std::span<const Product> products, core::ThreadPool& pool) {
  OCTAVO_CHECK(products.size() <= kMaxProducts);
  if (x.rows() == 0) return;
  const KernelTable& table = ActiveTable();
  const MatMulEntry* entries[kMaxProducts];
  int64_t panels = 0;
  int64_t weight_bytes = 0;
  int64_t piece_rows = kPieceRows;
  for (size_t i = 0; i < products.size(); ++i) {
    const PackedMatrix& weight = *products[i].weight;
    entries[i] = &EntryOf(table, x.type(), weight);
    OCTAVO_CHECK(weight.k() == x.k() && entries[i]->run != nullptr && HasSums(x, weight));
    panels += weight.panels();
    weight_bytes += weight.bytes();
    piece_rows = std::min(piece_rows, entries[i]->piece_rows);
  }
  const Pieces pieces(panels, x, piece_rows, weight_bytes, pool.size());
  // The product of a piece, and the panel within it.
  const auto place = [&](int64_t i) {
    int64_t panel = pieces.panel(i);
    size_t which = 0;
    while (panel >= products[which].weight->panels()) panel -= products[which++].weight->panels();
    return std::pair(which, panel);
  };
  pool.ParallelFor(pieces.count(), 1, [&](int64_t begin, int64_t end) {
    float* scratch = ThreadScratch(kPieceScratch);
    for (int64_t i = begin; i < end; ++i) {
      const auto [which, panel] = place(i);
      const int64_t first_row = pieces.first_row(i);
      const Product& product = products[which];
      MatMulPiece piece = PieceOf(x, product, panel, first_row, pieces.rows(i), scratch);
      piece.out_stride = product.weight->n();
      piece.out = product.out + first_row * piece.out_stride + panel * kPanelFeatures;
      piece.add = product.add;
      if (pool.NextIsOwn(pieces.count(), i) && pieces.panel(i + 1) != pieces.panel(i)) {
        const auto [next_which, next_panel] = place(i + 1);
        ComesNext(*products[next_which].weight, next_panel, piece);
      }
      entries[which]->run(piece);
    }
  });
  for (size_t i = 0; i < products.size(); ++i) Count(x, products[i], *entries[i]);
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
  const Pieces pieces(gate.weight->panels(), x,
                      std::min(gate_entry.piece_rows, up_entry.piece_rows),
                      gate.weight->bytes() + up.weight->bytes(), pool.size());
  const bool at_once = x.tiled() && &gate_entry == &up_entry && gate_entry.run_gated != nullptr;
  pool.ParallelFor(pieces.count(), 1, [&](int64_t begin, int64_t end) {
    float* scratch = ThreadScratch(2 * kPieceScratch);
    float* const second = scratch + kPieceScratch;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t panel = pieces.panel(i);
      const int64_t first_row = pieces.first_row(i);
      const int64_t rows = pieces.rows(i);
      MatMulPiece gates = PieceOf(x, gate, panel, first_row, rows, scratch);
      MatMulPiece ups = PieceOf(x, up, panel, first_row, rows, at_once ? second : scratch);
      ups.out = out + first_row * n + panel * kPanelFeatures;
      ups.out_stride = n;
      const bool more = pool.NextIsOwn(pieces.count(), i);
      if (at_once) {
        if (more) ComesNext(*gate.weight, pieces.panel(i + 1), gates);
        if (more) ComesNext(*up.weight, pieces.panel(i + 1), ups);
        gate_entry.run_gated(gates, ups);
        continue;
      }
      gates.out = second;
      gates.out_stride = kPanelFeatures;
      ComesNext(*up.weight, panel, gates);
      gate_entry.run(gates);
      if (more) ComesNext(*gate.weight, pieces.panel(i + 1), ups);
      up_entry.run(ups);
      for (int64_t r = 0; r < rows; ++r)
        table.silu_mul(second + r * kPanelFeatures, ups.out + r * n, ups.columns, ups.out + r * n);
    }
  });
  Count(x, gate, gate_entry);
  Count(x, up, up_entry);
}

void ExpectMatMul(int64_t rows, std::span<const PackedMatrix* const> weights,
                  core::ThreadPool& pool) {
  int64_t panels = 0;
  int64_t bytes = 0;
  for (const PackedMatrix* weight : weights) {
    panels += weight->panels();
    bytes += weight->bytes();
  }
  if (panels == 0) return;
  const bool by_rows = ByRows(rows, bytes, pool.size());
  pool.ReadNext([&](int thread) -> core::ThreadPool::Upcoming {
    int64_t panel = by_rows ? 0 : pool.FirstItem(panels, thread);
    size_t which = 0;
    while (panel >= weights[which]->panels()) panel -= weights[which++]->panels();
    const core::ByteSpan first = PanelsFrom(*weights[which], panel, kWaitingBytes);
    const auto left = kWaitingBytes - static_cast<int64_t>(first.size());
    if (++which == weights.size()) return {first, {}};
    return {first, PanelsFrom(*weights[which], 0, left)};
  });
}

void ExpectGatedMatMul(int64_t rows, const PackedMatrix& gate, const PackedMatrix& up,
                       core::ThreadPool& pool) {
  const bool by_rows = ByRows(rows, gate.bytes() + up.bytes(), pool.size());
  pool.ReadNext([&](int thread) -> core::ThreadPool::Upcoming {
    const int64_t panel = by_rows ? 0 : pool.FirstItem(gate.panels(), thread);
    return {PanelsFrom(gate, panel, kWaitingBytes / 2), PanelsFrom(up, panel, kWaitingBytes / 2)};
  });
}

}  // namespace octavo::kernels
