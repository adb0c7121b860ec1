// Which Hadamard matrices octavo can build: Paley's two constructions, and products of them with
// powers of two and with each other.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace octavo::kernels {

// The largest order that is built from one construction instead of as a product.
inline constexpr int64_t kMaxPaleyOrder = 2048;

// How the matrix of order n is made: the Kronecker product, outermost first, of a Paley matrix of
// each of `dense` orders and the Walsh matrix of order `walsh`, a power of two.
struct HadamardFactors {
  std::vector<int64_t> dense;
  int64_t walsh = 1;
};
// The factors that cost least to multiply by; nullopt where no product of known ones has order n.
std::optional<HadamardFactors> FindHadamardFactors(int64_t n);

// [order, order] of +1 and -1 (Paley 1933): of type I where order - 1 is a prime power q of the
// form 4i + 3, else of type II where order / 2 - 1 is one of the form 4i + 1. Empty where neither
// is. The fields of q = p^d elements are polynomials over Z/p, written as numbers to base p, modulo
// the first monic polynomial, counted the same way, for which x generates all but 0.
std::vector<float> PaleyMatrix(int64_t order);

}  // namespace octavo::kernels
