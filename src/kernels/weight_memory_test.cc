// Matrices of all sizes lie apart from each other, aligned, and outlive their neighbours.
#include "kernels/weight_memory.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"

namespace octavo::kernels {
namespace {

struct Piece {
  unsigned char* memory;
  size_t bytes;
  unsigned char mark;
};

// Of a large piece only its ends.
void Mark(const Piece& piece) {
  const size_t ends = piece.bytes < 8192 ? piece.bytes : 4096;
  std::memset(piece.memory, piece.mark, ends);
  std::memset(piece.memory + piece.bytes - ends, piece.mark, ends);
}

bool IsWhole(const Piece& piece) {
  const size_t ends = piece.bytes < 8192 ? piece.bytes : 4096;
  for (size_t i = 0; i < ends; ++i) {
    if (piece.memory[i] != piece.mark || piece.memory[piece.bytes - 1 - i] != piece.mark)
      return false;
  }
  return true;
}

TEST(WeightMemory, PiecesAreApartAndOutliveTheirNeighbours) {
  core::Random random(1);
  std::vector<Piece> pieces;
  const auto add = [&](size_t bytes) {
    auto* memory = static_cast<unsigned char*>(AllocateWeights(bytes));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 64, 0U);
    EXPECT_TRUE(memory[0] == 0 && memory[bytes - 1] == 0);
    pieces.push_back({memory, bytes, static_cast<unsigned char>(1 + random.Below(255))});
    Mark(pieces.back());
  };
  constexpr size_t kMegabyte = size_t{1} << 20;
  for (int round = 0; round < 60; ++round) {
    add(1 + random.Below(3000));
    add(1 + random.Below(9 * kMegabyte));
    // Around the size of a region, and several of them.
    if (round % 10 == 0) add(64 * kMegabyte - 64 + random.Below(128));
    if (round % 20 == 0) add(150 * kMegabyte + random.Below(4096));
    for (int i = 0; i < 2 && pieces.size() > 20; ++i) {
      const size_t at = random.Below(pieces.size());
      EXPECT_TRUE(IsWhole(pieces[at]));
      FreeWeights(pieces[at].memory);
      pieces[at] = pieces.back();
      pieces.pop_back();
    }
  }
  for (const Piece& piece : pieces) EXPECT_TRUE(IsWhole(piece));
  for (const Piece& piece : pieces) FreeWeights(piece.memory);
  FreeWeights(nullptr);
}

}  // namespace
}  // namespace octavo::kernels
