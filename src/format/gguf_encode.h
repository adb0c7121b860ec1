// Rows of weights as GGUF blocks: codes that exist are copied, floats are rounded as ggml rounds
// them.
#pragma once

#include <cstdint>
#include <span>

#include "core/bytes.h"
#include "format/gguf.h"

namespace octavo::format {

// Whether a scale is the same number in F16, in which blocks keep it.
bool FitsF16(float scale);

// One row of a quantized matrix. type: kQ8_0 for codes of 8 bits (-128 included), kQ4_0 for those
// of
// 4. codes: [K], K a multiple of 32; scales: [groups], groups of a multiple of 32 inputs, each
// repeated for its blocks and rounded to F16. out: the row's blocks. Where all scales fit F16, what
// the blocks are worth is bit for bit code * scale.
void GgufCopyCodes(GgufType type, std::span<const int8_t> codes, std::span<const float> scales,
                   core::MutableByteSpan out);

// Floats as Q8_0: for 32 of them d = absmax / 127, q = round half away (x / d), d stored in F16, as
// quantize_row_q8_0_ref of ggml src/ggml-quants.c has it. values: finite, a multiple of 32. False:
// a block's d is beyond F16.
bool GgufQuantizeQ8_0(std::span<const float> values, core::MutableByteSpan out);

}  // namespace octavo::format
