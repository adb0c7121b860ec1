#include "model/kv_cache.h"

#include <new>
#include <utility>

#include <sys/mman.h>

#include "core/check.h"

namespace octavo::model {

KvSequence::KvSequence(KvSequence&& other) noexcept
    : pool_(other.pool_),
      blocks_(std::exchange(other.blocks_, {})),
      length_(std::exchange(other.length_, 0)) {}

KvSequence& KvSequence::operator=(KvSequence&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(blocks_, other.blocks_);
  std::swap(length_, other.length_);
  return *this;
}

KvSequence::~KvSequence() {
  for (const int32_t block : blocks_) pool_->Give(block);
}

int64_t KvSequence::BlocksFor(int64_t tokens) const {
  const int64_t needed = (length_ + tokens + kKvBlockPositions - 1) / kKvBlockPositions;
  return needed - static_cast<int64_t>(blocks_.size());
}

void KvSequence::Extend(int64_t tokens) {
  for (int64_t i = BlocksFor(tokens); i > 0; --i) blocks_.push_back(pool_->Take());
  length_ += tokens;
}

KvPool::KvPool(const ModelConfig& config, KvType type, int64_t capacity_tokens)
    : type_(type),
      layer_heads_(config.layers * config.kv_heads),
      kv_heads_(config.kv_heads),
      part_bytes_(kernels::KvPartBytes(type, config.head_dim)),
      blocks_((capacity_tokens + kKvBlockPositions - 1) / kKvBlockPositions) {
  // Anonymous pages cost nothing until they are touched.
  void* memory = mmap(nullptr, static_cast<size_t>(total_bytes()), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<std::byte*>(memory);
  free_.reserve(static_cast<size_t>(blocks_));
  for (int64_t i = blocks_; i > 0; --i) free_.push_back(static_cast<int32_t>(i - 1));
}

KvPool::~KvPool() {
  munmap(memory_, static_cast<size_t>(total_bytes()));
}

std::byte* KvPool::Keys(int64_t layer, int64_t head) const {
  return memory_ + (layer * kv_heads_ + head) * 2 * part_bytes_;
}

std::byte* KvPool::Values(int64_t layer, int64_t head) const {
  return Keys(layer, head) + part_bytes_;
}

int32_t KvPool::Take() {
  OCTAVO_CHECK(!free_.empty());
  const int32_t block = free_.back();
  free_.pop_back();
  return block;
}

void KvPool::Give(int32_t block) {
  free_.push_back(block);
}

}  // namespace octavo::model
