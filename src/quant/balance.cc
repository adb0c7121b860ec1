#include "quant/balance.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace octavo::quant {
namespace {

// Rows are summed up in so many parts, whatever the number of threads.
constexpr int64_t kParts = 16;

// Rows are worked on so many numbers at a time, which compilers turn into vectors.
constexpr size_t kLanes = 8;

// x^16. Below kLeast of the largest of its row a number does not matter; its power would be a
// denormal, which takes a hundred times as long.
float SixteenthPower(float x) {
  constexpr float kLeast = 0.02F;
  x = x > kLeast ? x : kLeast;
  const float two = x * x;
  const float four = two * two;
  const float eight = four * four;
  return eight * eight;
}

// A value and its gradient in log f.
struct Term {
  double value = 0;
  std::vector<double> gradient;
};

// Rows of numbers that the factors, or their inverses, multiply.
class Rows {
 public:
  explicit Rows(size_t k) : k_(k), width_((k + kLanes - 1) / kLanes * kLanes) {}

  // `row` is kept as magnitudes over their largest. Rows of zeros say nothing.
  void Add(std::span<const float> row) {
    float largest = 0;
    for (const float x : row) largest = std::max(largest, std::fabs(x));
    if (largest == 0) return;
    for (const float x : row) values_.push_back(std::fabs(x) / largest);
    values_.resize((weights_.size() + 1) * width_);
    weights_.push_back(static_cast<double>(largest) * largest);
  }

  // The sum over rows of the squares of each number: [K].
  std::vector<double> Squares() const {
    std::vector<double> out(k_);
    for (size_t r = 0; r < weights_.size(); ++r) {
      for (size_t j = 0; j < k_; ++j)
        out[j] += weights_[r] * values_[r * width_ + j] * values_[r * width_ + j];
    }
    return out;
  }

  // The sum over rows of the squared 16-norm of the row times `multiply` [K], and its gradient in
  // the logarithms of those.
  Term SquaredMaxima(std::span<const float> multiply, core::ThreadPool& pool) const {
    std::vector<float> padded(multiply.begin(), multiply.end());
    padded.resize(width_);
    std::vector<Term> parts(kParts);
    const auto rows = static_cast<int64_t>(weights_.size());
    pool.ParallelFor(kParts, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> powers(width_);
      for (int64_t p = begin; p < end; ++p) {
        Term& part = parts[static_cast<size_t>(p)];
        part.gradient.assign(width_, 0.0);
        for (int64_t r = rows * p / kParts; r < rows * (p + 1) / kParts; ++r)
          AddRow(static_cast<size_t>(r), padded, powers, part);
      }
    });
    Term out;
    out.gradient.assign(k_, 0.0);
    for (const Term& part : parts) {
      out.value += part.value;
      for (size_t j = 0; j < k_; ++j) out.gradient[j] += part.gradient[j];
    }
    return out;
  }

 private:
  void AddRow(size_t r, std::span<const float> multiply, std::vector<float>& powers,
              Term& out) const {
    const float* row = values_.data() + r * width_;
    float largest[kLanes] = {};
    for (size_t j = 0; j < width_; j += kLanes) {
      for (size_t i = 0; i < kLanes; ++i) {
        const float x = row[j + i] * multiply[j + i];
        powers[j + i] = x;
        largest[i] = largest[i] < x ? x : largest[i];
      }
    }
    const float most = *std::max_element(largest, largest + kLanes);
    const float inverse = 1.0F / most;
    float sums[kLanes] = {};
    for (size_t j = 0; j < width_; j += kLanes) {
      for (size_t i = 0; i < kLanes; ++i) {
        powers[j + i] = SixteenthPower(powers[j + i] * inverse);
        sums[i] += powers[j + i];
      }
    }
    double sum = 0;
    for (const float lane : sums) sum += static_cast<double>(lane);
    const double norm = weights_[r] * most * most * std::pow(sum, 0.125);
    out.value += norm;
    const double share = 2 * norm / sum;
    for (size_t j = 0; j < width_; j += kLanes) {
      for (size_t i = 0; i < kLanes; ++i)
        out.gradient[j + i] += share * static_cast<double>(powers[j + i]);
    }
  }

  size_t k_;
  size_t width_;                 // K, padded with zeros to kLanes
  std::vector<float> values_;    // [rows, width], the largest of each row is 1
  std::vector<double> weights_;  // [rows], the squares of what each row was divided by
};

// sum_j squares[j] * multiply[j]^2
Term SquaredNorm(std::span<const double> squares, std::span<const float> multiply) {
  Term out;
  for (size_t j = 0; j < squares.size(); ++j) {
    const double term = squares[j] * multiply[j] * multiply[j];
    out.value += term;
    out.gradient.push_back(2 * term);
  }
  return out;
}

// The gradient in log f of log(inputs + weights); inputs' own gradients are in -log f.
std::vector<double> Gradient(const Term& input_maxima, const Term& weight_norm,
                             const Term& weight_maxima, const Term& input_norm) {
  const double total =
      input_maxima.value * weight_norm.value + weight_maxima.value * input_norm.value;
  std::vector<double> out(weight_norm.gradient.size());
  if (total == 0) return out;  // no inputs or no weights
  for (size_t j = 0; j < out.size(); ++j) {
    out[j] = (input_maxima.value * weight_norm.gradient[j] -
              input_maxima.gradient[j] * weight_norm.value +
              weight_maxima.gradient[j] * input_norm.value -
              weight_maxima.value * input_norm.gradient[j]) /
             total;
  }
  return out;
}

// Tied inputs move together, by the sum of what moves them.
void SumTied(std::span<const int64_t> ties, std::vector<double>& gradient) {
  if (ties.empty()) return;
  std::vector<double> sums(gradient.size());
  for (size_t j = 0; j < gradient.size(); ++j) sums[static_cast<size_t>(ties[j])] += gradient[j];
  for (size_t j = 0; j < gradient.size(); ++j) gradient[j] = sums[static_cast<size_t>(ties[j])];
}

// Adam's step with its default decay rates.
class Descent {
 public:
  explicit Descent(size_t k) : mean_(k), square_(k) {}

  void Step(double rate, std::span<const double> gradient, std::span<double> at) {
    constexpr double kMeanDecay = 0.9;
    constexpr double kSquareDecay = 0.999;
    constexpr double kSmall = 1e-8;
    mean_left_ *= kMeanDecay;
    square_left_ *= kSquareDecay;
    for (size_t j = 0; j < at.size(); ++j) {
      mean_[j] = kMeanDecay * mean_[j] + (1 - kMeanDecay) * gradient[j];
      square_[j] = kSquareDecay * square_[j] + (1 - kSquareDecay) * gradient[j] * gradient[j];
      const double size = std::sqrt(square_[j] / (1 - square_left_)) + kSmall;
      at[j] -= rate * mean_[j] / (1 - mean_left_) / size;
    }
  }

 private:
  std::vector<double> mean_;
  std::vector<double> square_;
  double mean_left_ = 1;
  double square_left_ = 1;
};

double Mean(std::span<const double> x) {
  double sum = 0;
  for (const double value : x) sum += value;
  return sum / static_cast<double>(x.size());
}

}  // namespace

std::vector<float> BalanceFactors(std::span<const MatrixView> weights,
                                  std::span<const float> sample, std::span<const float> start,
                                  const BalanceOptions& options, core::ThreadPool& pool) {
  const auto k = static_cast<int64_t>(start.size());
  OCTAVO_CHECK(k > 0 && sample.size() % start.size() == 0);
  Rows inputs(start.size());
  const auto rows = static_cast<int64_t>(sample.size()) / k;
  for (int64_t r = 0; r < SampledRows(rows, options.most_rows); ++r)
    inputs.Add(SampledRow({sample, rows}, k, r, options.most_rows));
  Rows features(start.size());
  for (const MatrixView& weight : weights) {
    for (int64_t n = 0; n < SampledRows(weight.n, options.most_rows); ++n)
      features.Add(SampledRow(weight, k, n, options.most_rows));
  }
  const std::vector<double> input_squares = inputs.Squares();
  const std::vector<double> weight_squares = features.Squares();

  std::vector<double> logs(start.size());
  for (size_t j = 0; j < logs.size(); ++j) logs[j] = std::log(static_cast<double>(start[j]));
  const double level = Mean(logs);  // a factor for all changes nothing
  std::vector<float> factors(start.begin(), start.end());
  std::vector<float> inverses(start.size());
  Descent descent(start.size());
  for (int step = 0; step < options.steps; ++step) {
    for (size_t j = 0; j < factors.size(); ++j) inverses[j] = 1.0F / factors[j];
    std::vector<double> gradient =
        Gradient(inputs.SquaredMaxima(inverses, pool), SquaredNorm(weight_squares, factors),
                 features.SquaredMaxima(factors, pool), SquaredNorm(input_squares, inverses));
    SumTied(options.ties, gradient);
    constexpr double kRate = 0.06;  // 6 % of a factor at first, less and less to the end
    descent.Step(kRate * (1 - static_cast<double>(step) / options.steps), gradient, logs);
    const double shift = level - Mean(logs);
    for (size_t j = 0; j < logs.size(); ++j) {
      logs[j] += shift;
      factors[j] = static_cast<float>(std::exp(logs[j]));
    }
  }
  return factors;
}

}  // namespace octavo::quant
