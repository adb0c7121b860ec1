// The definition of attention, for scalar.cc.
#pragma once

#include "kernels/attention_pieces.h"

namespace octavo::kernels {

void ScalarStoreKv(const KvStorePiece& piece);
void ScalarAttend(const AttentionPiece& piece);
void ScalarMergePartials(const AttentionPiece& piece);

}  // namespace octavo::kernels
