// What a method wants to know of the inputs of a group of linear layers, gathered by the tap over
// all calibration tokens.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "compress/block_tensors.h"
#include "core/thread_pool.h"
#include "model/tap.h"
#include "quant/second_moments.h"

namespace octavo::compress {

struct InputStats {
  std::vector<float> absmax;    // [K], of each channel
  std::vector<double> abs_sum;  // [K], of magnitudes
  std::vector<float> sample;    // [some rows, K], at equal distances in each pass
  // [passes, K]: the first row of each, which is not in `sample`: the first token of a text often
  // has inputs like no other, and would count there as one of a few.
  std::vector<float> first_rows;
  int64_t rows = 0;
  std::unique_ptr<quant::SecondMoments> moments;  // nullptr: not asked for

  std::vector<float> AbsMean() const;
  // first_rows and sample, for what must not clip any.
  std::vector<float> AllSampled() const;
  // As if every input channel had been divided by its factor: [K].
  void Divide(std::span<const float> factors);
};

// One block's statistics. Results do not depend on the number of threads. Not thread-safe.
class StatsCollector {
 public:
  StatsCollector(bool moments, core::ThreadPool& pool) : moments_(moments), pool_(pool) {}
  // For BlockStream::Forward; refers to this object.
  model::Tap tap();
  InputStats& of(FusedGroup group) { return stats_[static_cast<size_t>(group)]; }

 private:
  void Add(InputStats& stats, const float* x, int64_t rows, int64_t k);
  bool moments_;
  core::ThreadPool& pool_;
  std::array<InputStats, kFusedGroups.size()> stats_;
};

}  // namespace octavo::compress
