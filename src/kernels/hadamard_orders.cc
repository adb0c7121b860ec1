#include "kernels/hadamard_orders.h"

#include <algorithm>

#include "core/check.h"

namespace octavo::kernels {
namespace {

// q = p^degree for an odd prime p; p is 0 where q is no such power.
struct PrimePower {
  int64_t p = 0;
  int64_t degree = 0;
};

PrimePower FindPrimePower(int64_t q) {
  if (q < 3 || q % 2 == 0) return {};
  int64_t p = 3;
  while (p * p <= q && q % p != 0) p += 2;
  if (q % p != 0) p = q;
  int64_t degree = 0;
  int64_t rest = q;
  for (; rest % p == 0; rest /= p) ++degree;
  return rest == 1 ? PrimePower{p, degree} : PrimePower{};
}

// Elements of the field are 0..q-1.
class Field {
 public:
  explicit Field(int64_t q) : q_(q), power_(FindPrimePower(q)) {
    OCTAVO_CHECK(power_.p > 0);
    for (int64_t polynomial = 1; !FillSquares(polynomial); ++polynomial)
      OCTAVO_CHECK(polynomial < q_);
  }
  // 0 for 0, 1 for squares, -1 for others.
  float Character(int64_t x) const { return character_[static_cast<size_t>(x)]; }
  int64_t Subtract(int64_t a, int64_t b) const {
    int64_t out = 0;
    for (int64_t digit = 1; digit < q_; digit *= power_.p, a /= power_.p, b /= power_.p)
      out += (a % power_.p - b % power_.p + power_.p) % power_.p * digit;
    return out;
  }

 private:
  // x * a modulo x^degree - `polynomial`, digit by digit.
  int64_t TimesX(int64_t a, int64_t polynomial) const {
    const int64_t top = q_ / power_.p;
    const int64_t carry = a / top;
    int64_t out = 0;
    int64_t shifted = a % top * power_.p;
    for (int64_t digit = 1; digit < q_; digit *= power_.p) {
      out += (shifted % power_.p + carry * (polynomial % power_.p)) % power_.p * digit;
      shifted /= power_.p;
      polynomial /= power_.p;
    }
    return out;
  }
  // Even powers of a generator are the squares. False where x does not generate the field.
  bool FillSquares(int64_t polynomial) {
    character_.assign(static_cast<size_t>(q_), 0.0F);
    int64_t element = 1;
    for (int64_t i = 0; i < q_ - 1; ++i) {
      float& character = character_[static_cast<size_t>(element)];
      if (element == 0 || character != 0) return false;
      character = i % 2 == 0 ? 1.0F : -1.0F;
      element = TimesX(element, polynomial);
    }
    return element == 1;
  }
  int64_t q_;
  PrimePower power_;
  std::vector<float> character_;
};

bool IsFieldOfForm(int64_t q, int64_t remainder) {
  return q % 4 == remainder && FindPrimePower(q).p > 0;
}
bool HasPaleyOne(int64_t order) {
  return order % 4 == 0 && IsFieldOfForm(order - 1, 3);
}
bool HasPaleyTwo(int64_t order) {
  return order % 4 == 0 && IsFieldOfForm(order / 2 - 1, 1);
}

// Cost of the product's last factors on n numbers, for each number: additions, of which those on
// short spans fill no vector.
struct Found {
  HadamardFactors factors;
  int64_t cost;
};
std::optional<Found> Search(int64_t n) {
  if ((n & (n - 1)) == 0) {
    int64_t steps = 0;
    while ((int64_t{1} << steps) < n) ++steps;
    return Found{{{}, n}, steps};
  }
  std::optional<Found> best;
  for (int64_t order = 12; order <= std::min(n, kMaxPaleyOrder); order += 4) {
    const bool product_of_twos = (order & (order - 1)) == 0;
    if (n % order != 0 || product_of_twos || !(HasPaleyOne(order) || HasPaleyTwo(order))) continue;
    const int64_t span = n / order;
    const int64_t cost = order * std::max<int64_t>(1, 16 / span);
    if (best && best->cost <= cost) continue;
    auto rest = Search(span);
    if (!rest || (best && best->cost <= cost + rest->cost)) continue;
    rest->factors.dense.insert(rest->factors.dense.begin(), order);
    best = Found{std::move(rest->factors), cost + rest->cost};
  }
  return best;
}

}  // namespace

std::optional<HadamardFactors> FindHadamardFactors(int64_t n) {
  if (n < 1) return std::nullopt;
  auto found = Search(n);
  if (!found) return std::nullopt;
  return std::move(found->factors);
}

std::vector<float> PaleyMatrix(int64_t order) {
  const auto at = [order](int64_t row, int64_t column) {
    return static_cast<size_t>(row * order + column);
  };
  if (HasPaleyOne(order)) {  // I + S, with S = [[0, 1], [-1, Q]]
    const Field field(order - 1);
    std::vector<float> out(at(order, 0), 1.0F);
    for (int64_t i = 1; i < order; ++i) {
      out[at(i, 0)] = -1.0F;
      for (int64_t j = 1; j < order; ++j)
        out[at(i, j)] = i == j ? 1.0F : field.Character(field.Subtract(i - 1, j - 1));
    }
    return out;
  }
  if (!HasPaleyTwo(order)) return {};
  // C (x) [[1, 1], [1, -1]] + I (x) [[1, -1], [-1, -1]], with C = [[0, 1], [1, Q]]
  const int64_t half = order / 2;
  const Field field(half - 1);
  std::vector<float> out(at(order, 0));
  for (int64_t i = 0; i < half; ++i) {
    for (int64_t j = 0; j < half; ++j) {
      const bool edge = i == 0 || j == 0;
      const float c = edge ? 1.0F : field.Character(field.Subtract(i - 1, j - 1));
      out[at(2 * i, 2 * j)] = i == j ? 1.0F : c;
      out[at(2 * i, 2 * j + 1)] = i == j ? -1.0F : c;
      out[at(2 * i + 1, 2 * j)] = i == j ? -1.0F : c;
      out[at(2 * i + 1, 2 * j + 1)] = i == j ? -1.0F : -c;
    }
  }
  return out;
}

}  // namespace octavo::kernels
