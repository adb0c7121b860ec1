// The definition of attention, for scalar.cc.
#pragma once

#include "kernels/attention_pieces.h"

namespace octavo::kernels {

void ScalarRotate(float* x, int64_t heads, int64_t head_dim, const float* cosine,
                  const float* sine);
void ScalarStoreKv(const KvStorePiece& piece);
void ScalarAttend(const AttentionPiece& piece);
void ScalarMergePartials(const AttentionPiece& piece);

}  // namespace octavo::kernels
