// The few BLAS and LAPACK routines that the methods need, on row-major matrices. Each call runs on
// the thread that makes it: loops over tiles, and with them the order of every sum, are ours, so
// that results do not depend on the number of threads. (They do depend on the CPU, for which
// OpenBLAS chooses its kernels.)
#pragma once

#include <cstdint>

namespace octavo::quant::blas {

enum class Op : bool { kNone, kTranspose };

// c = alpha * op(a) * op(b) + beta * c; op(a): [m, k], op(b): [k, n], c: [m, n], row strides lda,
// ldb, ldc.
void Gemm(Op op_a, Op op_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a,
          int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc);
void Gemm(Op op_a, Op op_b, int64_t m, int64_t n, int64_t k, double alpha, const double* a,
          int64_t lda, const double* b, int64_t ldb, double beta, double* c, int64_t ldc);

// The lower triangle of c += a^T * a; a: [k, n], c: [n, n].
void SyrkLower(int64_t n, int64_t k, const float* a, int64_t lda, float* c, int64_t ldc);

// Cholesky: the lower triangle of a [n, n] becomes that of L, a = L L^T. False when a is not
// positive definite; a is garbage then.
bool Cholesky(int64_t n, double* a, int64_t lda);

// b = b * L^-T, L the lower triangle of l [n, n]; b: [m, n].
void SolveTransposedLower(int64_t m, int64_t n, const double* l, int64_t ldl, double* b,
                          int64_t ldb);

}  // namespace octavo::quant::blas
