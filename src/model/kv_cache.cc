#include "model/kv_cache.h"

#include <algorithm>
#include <utility>

#include <sys/mman.h>

#include "core/check.h"
#include "kernels/scratch.h"

namespace octavo::model {
namespace {

int64_t BlocksOf(int64_t positions) {
  return (positions + kKvBlockPositions - 1) / kKvBlockPositions;
}

constexpr size_t kLargePage = size_t{2} << 20;

// Whole large pages.
size_t MappedBytes(int64_t bytes) {
  return (static_cast<size_t>(bytes) + kLargePage - 1) / kLargePage * kLargePage;
}

// The widest window when every layer has one, else 0.
int64_t WidestWindow(const std::vector<int64_t>& windows) {
  if (windows.empty() || std::find(windows.begin(), windows.end(), 0) != windows.end()) return 0;
  return *std::max_element(windows.begin(), windows.end());
}

}  // namespace

int KvBits(KvType type) {
  return type == KvType::kF32 ? 32 : type == KvType::kI16 ? 16 : 8;
}

KvSequence::KvSequence(KvSequence&& other) noexcept
    : pool_(other.pool_),
      blocks_(std::exchange(other.blocks_, {})),
      first_held_(std::exchange(other.first_held_, 0)),
      length_(std::exchange(other.length_, 0)) {}

KvSequence& KvSequence::operator=(KvSequence&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(blocks_, other.blocks_);
  std::swap(first_held_, other.first_held_);
  std::swap(length_, other.length_);
  return *this;
}

KvSequence::~KvSequence() {
  for (auto i = static_cast<size_t>(first_held_); i < blocks_.size(); ++i) pool_->Give(blocks_[i]);
}

int64_t KvSequence::BlocksFor(int64_t tokens, int64_t at_once) const {
  const int64_t held = static_cast<int64_t>(blocks_.size()) - first_held_;
  const int64_t most = std::min(BlocksOf(length_ + tokens) - first_held_,
                                pool_->MostBlocks(length_ + tokens, std::min(tokens, at_once)));
  return std::max<int64_t>(most - held, 0);
}

void KvSequence::Extend(int64_t tokens) {
  // The next position sees itself and window - 1 before it.
  const int64_t seen = pool_->window() > 0 ? length_ - pool_->window() + 1 : 0;
  for (; first_held_ < seen / kKvBlockPositions; ++first_held_)
    pool_->Give(std::exchange(blocks_[static_cast<size_t>(first_held_)], -1));
  length_ += tokens;
  while (static_cast<int64_t>(blocks_.size()) < BlocksOf(length_)) blocks_.push_back(pool_->Take());
}

KvPool::KvPool(const ModelConfig& config, KvType type, int64_t capacity_tokens)
    : type_(type),
      layer_heads_(config.layers * config.kv_heads),
      kv_heads_(config.kv_heads),
      window_(WidestWindow(config.windows)),
      part_bytes_(kernels::KvPartBytes(type, config.head_dim)),
      blocks_(BlocksOf(capacity_tokens)) {
  // A step reads a little of every block, in as many places as there are layers and sequences:
  // in small pages it would wait for the page table.
  memory_ = static_cast<std::byte*>(kernels::MapAligned(MappedBytes(total_bytes()), kLargePage));
  free_.reserve(static_cast<size_t>(blocks_));
  for (int64_t i = blocks_; i > 0; --i) free_.push_back(static_cast<int32_t>(i - 1));
}

KvPool::~KvPool() {
  munmap(memory_, MappedBytes(total_bytes()));
}

std::byte* KvPool::Keys(int64_t layer, int64_t head) const {
  return memory_ + (layer * kv_heads_ + head) * 2 * part_bytes_;
}

std::byte* KvPool::Values(int64_t layer, int64_t head) const {
  return Keys(layer, head) + part_bytes_;
}

int64_t KvPool::MostBlocks(int64_t tokens, int64_t at_once) const {
  const int64_t all = BlocksOf(tokens);
  if (window_ == 0) return all;
  // From the first position that the first new one sees to the last new one, which may begin and
  // end anywhere in a block.
  return std::min(all, BlocksOf(window_ - 1 + at_once - 1) + 1);
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
