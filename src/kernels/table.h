// What an instruction set gives to the engine: one table of function pointers, exported by one file
// in isa/. The layouts and the order of every sum are part of the contract, so that all tables give
// the same bits (docs/numerics.md).
#pragma once

#include <cstdint>

#include "kernels/attention_pieces.h"
#include "kernels/cpu.h"

namespace octavo::kernels {

// What a packed weight buffer holds. A block is 16 output features, a panel four blocks, the last
// one what is left. Inside a panel the inputs come in order, a unit of them at a time for all of
// its blocks, so that one vector load feeds one multiply-add of 16 features and who multiplies few
// rows reads memory in one stream:
//   kF32, kF16: [K][blocks][16]    kBF16: [ceil(K/2)][blocks][16][2]
//   kI8: [ceil(K/4)][blocks][16][4]
//   kI4: [K/8][blocks][16][4 bytes], code + 8 of 4 inputs in the low halves, of the next 4 in the
//        high ones
enum class Storage : uint8_t { kF32, kF16, kBF16, kI8, kI4 };
inline constexpr int kStorageCount = 5;
inline constexpr int64_t kBlockFeatures = 16;
inline constexpr int64_t kPanelBlocks = 4;
inline constexpr int64_t kPanelFeatures = kPanelBlocks * kBlockFeatures;

struct StorageLayout {
  const char* name;
  int64_t unit;        // inputs side by side
  int64_t unit_bytes;  // of one feature
};
inline constexpr StorageLayout kStorageLayouts[kStorageCount] = {
    {"F32", 1, 4}, {"F16", 1, 2}, {"BF16", 2, 4}, {"I8", 4, 4}, {"I4", 8, 4}};

// How activations meet the weights. kF32: as they are. kBf16: rounded to bf16, two inputs to a
// multiply-add. kI8: one symmetric int8 scale for each row, integer sums. kI24: in fixed point of
// 24 bits with one scale for each row, as three int8 codes for each input, integer sums.
enum class InputType : uint8_t { kF32, kBf16, kI8, kI24 };
inline constexpr int kInputCount = 4;

// Rows of int8 codes for one row of inputs.
constexpr int64_t CodeRows(InputType type) {
  return type == InputType::kI24 ? 3 : 1;
}
// kI24: x = scale * ((c0 * kRadix + c1) * kRadix + c2), with codes within +-127 as those of kI8:
// what two kernels can multiply without saturating, 256 would ask for -128 as well.
inline constexpr float kRadix = 252.0F;

// At most this many rows in one piece, and this much scratch (f32, 64-byte aligned) for it:
// kPanelInputs inputs of its panel, sums, and the ends of blocks that fill no tile.
inline constexpr int64_t kPieceRows = 512;
inline constexpr int64_t kPanelInputs = 512;
inline constexpr int64_t kPieceScratch =
    (kPanelInputs + kPieceRows + kBlockFeatures) * kPanelFeatures;

// Tiles of inputs: 16 rows of 64 bytes.
inline constexpr int64_t kTileSide = 16;
inline constexpr int64_t kTileRowBytes = 64;
inline constexpr int64_t kTileBytes = kTileSide * kTileRowBytes;

// The largest K of an integer sum: K * 255 * 128 stays below 2^31.
inline constexpr int64_t kMaxIntegerInputs = int64_t{1} << 16;

// A row of activations below this is quantized to zeros: the inverse of its scale would overflow.
inline constexpr float kZeroRow = 0x1p-100F;

// One piece of out = x * weight^T * scale + bias. For each output, from a = 0:
//   kF32:  a = fma(w[k], x[k], a) for k = 0, 1, 2, ...
//   kBf16: the same for k = 1, 0, 3, 2, ... (the order of VDPBF16PS; products of bf16 are exact in
//          f32); on AMX the order of TDPBF16PS, which isa/amx_model.cc defines
//   kI8:   the integer sum of w[k] * x[k], as f32, times the row's scale
//   kI24:  the integer sums s0, s1, s2 of w[k] times each of the three codes, as f32, joined to
//          fma(s0, kRadix^2, fma(s1, kRadix, s2)), times the row's scale
// and then fma(a, scale, bias), or with `add` out + that; a missing scale is 1, a missing bias -0.
// Weights in groups: each group has a sum `a` of its own, without the row's scale, and
// total = fma(a, the group's scale, total) from 0 on; then the row's scale (codes) and the bias.
struct MatMulPiece {
  // [rows, k]: f32, bf16 (k padded with zero to 2), or the int8 codes with 128 added, as unsigned
  // bytes (padded to 4; what stands there does not matter, the weights are zero). kI24: three rows
  // of codes for each row, c0, c1 and c2. For weights in groups the codes are signed, without 128.
  const void* x;
  int64_t x_stride_bytes;  // from row to row, or with `tiled` from one 16 rows to the next
  // The rows lie in tiles, one after the other for each 16 rows: [K / tile][16][64 bytes], padded
  // as above to whole tiles. Pieces begin at a multiple of 16 rows.
  bool tiled;
  const float* x_scales;   // codes: [rows]
  const int32_t* offsets;  // codes: of the first block's features, 128 times the sum of their codes
  // Codes, for weights in groups: sums of `sum_inputs` codes each, of each row of codes,
  // `x_sums_stride` numbers apart. A group is a multiple of `sum_inputs`.
  const int32_t* x_sums;
  int64_t x_sums_stride;
  int64_t sum_inputs;
  int64_t rows;        // 1..kPieceRows / CodeRows
  const void* weight;  // a panel
  int64_t blocks;      // of it, 1..kPanelBlocks
  int64_t columns;     // features that exist, in (16 * (blocks - 1), 16 * blocks]
  int64_t k;
  const float* scales;       // of the first block's features, padded to 16 * blocks; nullptr: none
  const float* bias;         // the same; nullptr: none
  int64_t group;             // inputs that share a scale, a divisor of k; 0: no groups
  const void* group_scales;  // [k / group][blocks][16]
  Storage group_scale_type;  // kF32, kF16 or kBF16
  float* out;                // [rows, columns], rows `out_stride` floats apart
  int64_t out_stride;
  bool add;        // to what `out` holds, after everything else
  float* scratch;  // kPieceScratch floats
  // Whether few rows read weights at several places side by side (CpuFeatures). Only a hint.
  bool strands;
  // What the thread reads next, to be fetched into the second-level cache meanwhile; only a hint.
  const void* next;
  int64_t next_bytes;
};

struct MatMulEntry {
  const char* name;  // e.g. "w8a16_f32"
  const char* isa;
  void (*run)(const MatMulPiece& piece);
  int64_t piece_rows = 128;  // rows of a piece at which it runs best, at most kPieceRows
  // up.out = SiLU(gate) * up, where inputs lie in tiles and neither adds; nullptr: one by one. Both
  // pieces have the same input, rows, columns and k, and a scratch of their own.
  void (*run_gated)(const MatMulPiece& gate, const MatMulPiece& up) = nullptr;
};

// Multiply-adds on registers alone: the most that this ISA does.
struct PeakEntry {
  int64_t multiply_adds;         // of one round
  float (*run)(int64_t rounds);  // what it returns only keeps the work from being left out
};

struct KernelTable {
  const char* isa;
  bool (*supported)(const CpuFeatures& cpu);
  // An entry without `run` is not there: kI8 and kI24 meet codes only, kF32 floats only, and bf16
  // dots exist only where the CPU has them, for weights without groups.
  MatMulEntry matmul[kInputCount][kStorageCount];
  AttentionKernels attention;
  // out[i] = x[i] / sqrt(mean(x^2) + eps) * weight[i]; squares are summed in 16 lanes, then lanes i
  // and i+8, i+4, i+2, i+1.
  void (*rms_norm)(const float* x, const float* weight, int64_t n, float eps, float* out);
  // out[i] = gate[i] / (1 + exp(-gate[i])) * up[i]; out may be gate
  void (*silu_mul)(const float* gate, const float* up, int64_t n, float* out);
  // x[i] = bf16(x[i]), as f32
  void (*round_to_bf16)(const float* x, int64_t n, float* out);
  // bf16(x[i]), as its 16 bits
  void (*to_bf16)(const float* x, int64_t n, uint16_t* out);
  // codes[i] = 128 + round half even(x[i] * (127 / absmax)), scale = absmax / 127; a row of zeros
  // has scale 1. x must be finite.
  void (*quantize_row)(const float* x, int64_t n, uint8_t* codes, float* scale);
  // The three rows of codes of kI24, `stride` bytes apart, each with 128 added: c0 = round half
  // even(y) for y = x[i] * (127 / absmax), c1 = round((y - c0) * kRadix), and c2 the same of what
  // is left; scale = absmax / (127 * kRadix^2). A row of zeros has scale 1, one with a NaN or an
  // infinity has scale NaN.
  void (*split_row)(const float* x, int64_t n, uint8_t* codes, int64_t stride, float* scale);
  // codes[i] = 128 + round half even(x[i] / scale), clamped to +-127 before the 128. x must be
  // finite, scale positive and finite.
  void (*quantize_row_by)(const float* x, int64_t n, float scale, uint8_t* codes);
  // to[i] = codes[i] without the 128, sums[j] = the sum of the `sum_inputs` of them from
  // j * sum_inputs on; n is a multiple of sum_inputs.
  void (*sign_codes)(const uint8_t* codes, int64_t n, int64_t sum_inputs, int8_t* to,
                     int32_t* sums);
  // out[i] = x[i], n numbers of 16 bits, as f32; returns the largest magnitude, which is infinite
  // or NaN exactly when some x[i] is. x may be unaligned.
  float (*widen_f16)(const void* x, int64_t n, float* out);
  float (*widen_bf16)(const void* x, int64_t n, float* out);
  // In place, for each `size` of n floats (a power of two that divides n) and steps s = 1, 2, 4,
  // ... below size: (x[i], x[i + s]) becomes (x[i] + x[i + s], x[i] - x[i + s]).
  void (*walsh_hadamard)(float* x, int64_t n, int64_t size);
  // out[i][c] = the sum over j of signs[j][i] * x[j][c], from 0 on in the order of j; x and out:
  // [size, span], not the same; signs: [size, size] of +1 and -1; size a multiple of 4.
  void (*combine_spans)(const float* x, int64_t size, int64_t span, const float* signs, float* out);
  // Inputs of this type and at least so many rows (of codes) lie in tiles; 0: never.
  int64_t tiled_from[kInputCount];
  // By InputType; an entry without `run` is not there.
  PeakEntry peaks[kInputCount];
  // Reads n floats, a multiple of 64, at one place or at several side by side (CpuFeatures), and
  // does as little as it can with them.
  float (*read)(const float* x, int64_t n, bool strands);
};

}  // namespace octavo::kernels
