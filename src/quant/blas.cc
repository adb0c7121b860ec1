// The only file that knows OpenBLAS: Debian's pthread build, which takes calls from many threads at
// once. It does each on the thread that calls.
#include "quant/blas.h"

#include <cstdlib>

#include <cblas.h>

#include "core/check.h"

extern "C" void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info);

namespace octavo::quant::blas {
namespace {

CBLAS_TRANSPOSE Cblas(Op op) {
  return op == Op::kNone ? CblasNoTrans : CblasTrans;
}

// OpenBLAS looks at both when the program is loaded; this comes before. Nothing of ours asks for
// its threads. A CPU that is newer than the library is taken for one of 2004 (seen with 0.3.21 and
// a Xeon of 2023: products took 2.7 times as long), so the kernels are named here by what the CPU
// has.
__attribute__((constructor(101))) void ConfigureOpenBlas() {
  setenv("OPENBLAS_NUM_THREADS", "1", 1);
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512) {
    setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
  } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    setenv("OPENBLAS_CORETYPE", "Haswell", 0);
  }
}

int Int(int64_t value) {
  OCTAVO_CHECK(value >= 0 && value <= INT32_MAX);
  return static_cast<int>(value);
}

}  // namespace

void Gemm(Op op_a, Op op_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a,
          int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  if (m == 0 || n == 0) return;
  cblas_sgemm(CblasRowMajor, Cblas(op_a), Cblas(op_b), Int(m), Int(n), Int(k), alpha, a, Int(lda),
              b, Int(ldb), beta, c, Int(ldc));
}

void Gemm(Op op_a, Op op_b, int64_t m, int64_t n, int64_t k, double alpha, const double* a,
          int64_t lda, const double* b, int64_t ldb, double beta, double* c, int64_t ldc) {
  if (m == 0 || n == 0) return;
  cblas_dgemm(CblasRowMajor, Cblas(op_a), Cblas(op_b), Int(m), Int(n), Int(k), alpha, a, Int(lda),
              b, Int(ldb), beta, c, Int(ldc));
}

void SyrkLower(int64_t n, int64_t k, const float* a, int64_t lda, float* c, int64_t ldc) {
  cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, Int(n), Int(k), 1, a, Int(lda), 1, c,
              Int(ldc));
}

bool Cholesky(int64_t n, double* a, int64_t lda) {
  // LAPACK is column-major: our lower triangle is its upper one, and its A = U^T U is L L^T.
  const int order = Int(n);
  const int stride = Int(lda);
  int info = 0;
  dpotrf_("U", &order, a, &stride, &info);
  OCTAVO_CHECK(info >= 0);
  return info == 0;
}

void SolveTransposedLower(int64_t m, int64_t n, const double* l, int64_t ldl, double* b,
                          int64_t ldb) {
  cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, Int(m), Int(n), 1, l,
              Int(ldl), b, Int(ldb));
}

}  // namespace octavo::quant::blas
