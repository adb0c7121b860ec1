// The softmax loop of the evaluation. With V between 30,000 and 150,000 it calls exp some hundred
// thousand times for a token, so exp is a polynomial on four f64 lanes; f64 because it costs little
// more than f32 here (the sums are f64 anyway) and keeps the error of a divergence far below any
// that matters.
#include "eval/row_score.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/check.h"

// One copy of the loop for AVX2 and one for the base instruction set, chosen when the program
// starts. Both do the same operations on the same lanes, and contraction is off, so they give the
// same bits. ThreadSanitizer cannot start a program that has such a choice in it.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define OCTAVO_ROW_SCORE_CLONES
#endif
#endif
#if !defined(OCTAVO_ROW_SCORE_CLONES) && defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define OCTAVO_ROW_SCORE_CLONES __attribute__((target_clones("avx2", "default")))
#elif !defined(OCTAVO_ROW_SCORE_CLONES)
#define OCTAVO_ROW_SCORE_CLONES
#endif

namespace octavo::eval {
namespace {

constexpr int64_t kLanes = 4;
constexpr int64_t kVectors =
    2;  // independent sums, so that one addition need not wait for the last
constexpr int64_t kStep = kLanes * kVectors;

// GCC and Clang lower these to whatever the clone's instruction set has.
using Doubles = double __attribute__((vector_size(8 * kLanes)));
using Longs = int64_t __attribute__((vector_size(8 * kLanes)));
using Floats = float __attribute__((vector_size(4 * kLanes)));

// Inlined always: a call would be compiled for the base instruction set only.
#define OCTAVO_INLINE inline __attribute__((always_inline))

OCTAVO_INLINE void Load(const float* from, Floats& to) {
  std::memcpy(&to, from, sizeof to);
}

// x = exp(x) for x <= 0, lane by lane; NaN stays NaN. exp(x) = 2^n * exp(r) with |r| <= ln2 / 2 and
// the Taylor polynomial of degree 9, whose remainder is below (ln2 / 2)^10 / 10! = 7e-12, or 1e-11
// relative to exp(r) >= 0.7. Below -700 the result is exp(-700), which is as good as 0 in a sum
// that holds exp(0) = 1, and keeps 2^n a normal number.
OCTAVO_INLINE void Exp(Doubles& x) {
  const Doubles lowest = Doubles{} - 700.0;
  x = x < lowest ? lowest : x;
  // Adding 1.5 * 2^52 rounds to an integer, which then stands in the low bits.
  const Doubles shifted = x * 1.4426950408889634 + 6755399441055744.0;
  const Doubles n = shifted - 6755399441055744.0;
  const Doubles r = x - n * 0.6931471805599453;
  Doubles p = r * (1.0 / 362880) + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  x = p * (Doubles)(((Longs)shifted + 1023) << 52);
}

struct Sums {
  double baseline = 0;    // sum of exp(a - max a)
  double candidate = 0;   // sum of exp(b - max b)
  double difference = 0;  // sum of exp(a - max a) * (a - b)
};

struct LaneSums {
  Doubles baseline[kVectors] = {};
  Doubles candidate[kVectors] = {};
  Doubles difference[kVectors] = {};
};

OCTAVO_INLINE void Accumulate(const float* a, const float* b, double max_a, double max_b,
                              LaneSums& sums) {
  for (int64_t v = 0; v < kVectors; ++v) {
    Floats narrow_x;
    Floats narrow_y;
    Load(a + v * kLanes, narrow_x);
    Load(b + v * kLanes, narrow_y);
    const Doubles x = __builtin_convertvector(narrow_x, Doubles);
    const Doubles y = __builtin_convertvector(narrow_y, Doubles);
    Doubles weight = x - max_a;
    Exp(weight);
    Doubles other = y - max_b;
    Exp(other);
    sums.baseline[v] += weight;
    sums.candidate[v] += other;
    sums.difference[v] += weight * (x - y);
  }
}

OCTAVO_ROW_SCORE_CLONES
Sums SumRow(const float* a, const float* b, int64_t vocab, float max_a, float max_b) {
  LaneSums lanes;
  const int64_t whole = vocab / kStep * kStep;
  for (int64_t i = 0; i < whole; i += kStep) Accumulate(a + i, b + i, max_a, max_b, lanes);
  if (whole < vocab) {
    // Lanes past the end weigh exp(-700) and differ by 0.
    float tail_a[kStep];
    float tail_b[kStep];
    for (int64_t i = 0; i < kStep; ++i) {
      const bool inside = whole + i < vocab;
      tail_a[i] = inside ? a[whole + i] : std::numeric_limits<float>::lowest();
      tail_b[i] = inside ? b[whole + i] : std::numeric_limits<float>::lowest();
    }
    Accumulate(tail_a, tail_b, max_a, max_b, lanes);
  }
  Sums sums;
  for (int64_t v = 0; v < kVectors; ++v) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      sums.baseline += lanes.baseline[v][lane];
      sums.candidate += lanes.candidate[v][lane];
      sums.difference += lanes.difference[v][lane];
    }
  }
  return sums;
}

// The largest of a row; a NaN is passed over here and turns up in the sums.
float Max(const float* row, int64_t vocab) {
  float lanes[16];
  std::fill(std::begin(lanes), std::end(lanes), -std::numeric_limits<float>::infinity());
  int64_t i = 0;
  for (; i + 16 <= vocab; i += 16) {
    for (int lane = 0; lane < 16; ++lane) {
      lanes[lane] = row[i + lane] > lanes[lane] ? row[i + lane] : lanes[lane];
    }
  }
  for (; i < vocab; ++i) lanes[0] = row[i] > lanes[0] ? row[i] : lanes[0];
  return *std::max_element(std::begin(lanes), std::end(lanes));
}

// With p the baseline's softmax and lse the log of a row's sum of exponentials,
// KL = sum p (log p - log q) = sum p (a - b) - lse(a) + lse(b).
RowScore ScoreRow(const float* a, const float* b, int64_t vocab, int32_t target) {
  const float max_a = Max(a, vocab);
  const float max_b = Max(b, vocab);
  const Sums sums = SumRow(a, b, vocab, max_a, max_b);
  const double lse_a = static_cast<double>(max_a) + std::log(sums.baseline);
  const double lse_b = static_cast<double>(max_b) + std::log(sums.candidate);
  RowScore score;
  score.baseline_nll = lse_a - static_cast<double>(a[target]);
  score.candidate_nll = lse_b - static_cast<double>(b[target]);
  const double kld = sums.difference / sums.baseline - lse_a + lse_b;
  score.kld = kld < 0 && std::isfinite(kld) ? 0 : kld;  // below 0 by rounding only
  score.same_top = std::find(a, a + vocab, max_a) - a == std::find(b, b + vocab, max_b) - b;
  return score;
}

}  // namespace

void ScoreRows(std::span<const float> baseline, std::span<const float> candidate,
               std::span<const int32_t> targets, core::ThreadPool& pool,
               std::span<RowScore> scores) {
  if (targets.empty()) return;
  const auto rows = static_cast<int64_t>(targets.size());
  const auto vocab = static_cast<int64_t>(baseline.size()) / rows;
  OCTAVO_CHECK(baseline.size() == candidate.size() && scores.size() == targets.size());
  OCTAVO_CHECK(vocab > 0 && static_cast<size_t>(rows * vocab) == baseline.size());
  pool.ParallelFor(rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int32_t target = targets[static_cast<size_t>(row)];
      OCTAVO_CHECK(target >= 0 && target < vocab);
      scores[static_cast<size_t>(row)] =
          ScoreRow(baseline.data() + row * vocab, candidate.data() + row * vocab, vocab, target);
    }
  });
}

}  // namespace octavo::eval
