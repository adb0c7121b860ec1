// What one position of a text says about two models: the likelihood that each gave to the token
// that came, and how far their distributions over the whole vocabulary lie apart.
#pragma once

#include <cstdint>
#include <span>

#include "core/thread_pool.h"

namespace octavo::eval {

struct RowScore {
  double baseline_nll = 0;  // -log softmax(baseline)[target], nats
  double candidate_nll = 0;
  double kld = 0;         // KL(baseline || candidate), nats, never below 0
  bool same_top = false;  // both rank the same token first; among equals the lowest id counts
};

// baseline, candidate: [rows, V] f32, row-major; targets: [rows] ids in [0, V); scores: [rows],
// written. A row that holds a NaN or an infinity gets a score that is not finite. All sums are f64
// in a fixed order, so the result depends neither on the number of threads nor on the CPU. Errors
// of exp are below 1e-11, so those of an NLL are below 1e-11 nats and those of a KLD below 4e-11 *
// (1 + spread of the logits' differences). Passing one model twice costs what two models cost and
// gives a KLD of exactly 0.
void ScoreRows(std::span<const float> baseline, std::span<const float> candidate,
               std::span<const int32_t> targets, core::ThreadPool& pool,
               std::span<RowScore> scores);

}  // namespace octavo::eval
