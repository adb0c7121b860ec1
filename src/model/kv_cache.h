// The KV cache: keys and values of all sequences in one pool of fixed-size blocks, handed out as
// sequences grow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/attention_pieces.h"
#include "model/config.h"

namespace octavo::model {

using KvType = kernels::KvStorage;

inline constexpr int64_t kKvBlockPositions = kernels::kKvPositions;

// Of a number, without the scales of codes.
int KvBits(KvType type);

class KvPool;

// The blocks of one sequence, in the order of its positions. Those that a model whose layers all
// have windows will not see again are given back as the sequence grows. Move-only; gives the rest
// back when destroyed.
class KvSequence {
 public:
  explicit KvSequence(KvPool* pool) : pool_(pool) {}
  KvSequence(KvSequence&& other) noexcept;
  KvSequence& operator=(KvSequence&& other) noexcept;
  ~KvSequence();

  int64_t length() const { return length_; }
  // How many more blocks it holds at most while it is extended by `tokens` positions, at most
  // `at_once` in one call.
  int64_t BlocksFor(int64_t tokens, int64_t at_once) const;
  // Gives back the blocks that no position from here on sees, takes those for `tokens` more
  // positions and counts them as filled; the pool must have them.
  void Extend(int64_t tokens);
  // By position / kKvBlockPositions; -1 where the block was given back.
  const std::vector<int32_t>& blocks() const { return blocks_; }

 private:
  KvPool* pool_;
  std::vector<int32_t> blocks_;
  int64_t first_held_ = 0;  // in blocks_
  int64_t length_ = 0;
};

// A block holds, for each layer and KV head, 64 positions: keys, then values, laid out as
// kernels::KvStorage says. Not thread-safe, except that different threads may write different
// (layer, head) parts.
class KvPool {
 public:
  // `capacity_tokens` is rounded up to whole blocks. Memory is reserved, and taken when first used.
  KvPool(const ModelConfig& config, KvType type, int64_t capacity_tokens);
  ~KvPool();
  KvPool(const KvPool&) = delete;
  KvPool& operator=(const KvPool&) = delete;

  KvType type() const { return type_; }
  int64_t free_blocks() const { return static_cast<int64_t>(free_.size()); }
  int64_t total_blocks() const { return blocks_; }
  int64_t block_bytes() const { return layer_heads_ * 2 * part_bytes_; }
  int64_t total_bytes() const { return blocks_ * block_bytes(); }
  // How far back any layer sees; 0: all the way.
  int64_t window() const { return window_; }
  // The most blocks that a sequence of `tokens` positions holds at a time when it is extended by at
  // most `at_once`.
  int64_t MostBlocks(int64_t tokens, int64_t at_once) const;
  // K or V of block 0 for one layer and KV head; those of block b lie b * block_bytes() further.
  std::byte* Keys(int64_t layer, int64_t head) const;
  std::byte* Values(int64_t layer, int64_t head) const;
  // Takes a free block; there must be one.
  int32_t Take();
  void Give(int32_t block);

 private:
  KvType type_;
  int64_t layer_heads_;
  int64_t kv_heads_;
  int64_t window_;
  int64_t part_bytes_;  // of K or V, one block, layer and head
  int64_t blocks_;
  std::byte* memory_ = nullptr;
  std::vector<int32_t> free_;
};

}  // namespace octavo::model
