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

class KvPool;

// The blocks of one sequence, in the order of its positions. Move-only; gives them back when
// destroyed.
class KvSequence {
 public:
  explicit KvSequence(KvPool* pool) : pool_(pool) {}
  KvSequence(KvSequence&& other) noexcept;
  KvSequence& operator=(KvSequence&& other) noexcept;
  ~KvSequence();

  int64_t length() const { return length_; }
  // How many more blocks `tokens` more positions would take.
  int64_t BlocksFor(int64_t tokens) const;
  // Takes the blocks for `tokens` more positions and counts them as filled; the pool must have
  // them.
  void Extend(int64_t tokens);
  const std::vector<int32_t>& blocks() const { return blocks_; }

 private:
  KvPool* pool_;
  std::vector<int32_t> blocks_;
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
  int64_t part_bytes_;  // of K or V, one block, layer and head
  int64_t blocks_;
  std::byte* memory_ = nullptr;
  std::vector<int32_t> free_;
};

}  // namespace octavo::model
