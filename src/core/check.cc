#include "core/check.h"

#include <cstdio>
#include <cstdlib>

namespace octavo::core {

void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr,
               "octavo: internal error at %s:%d: %s\nThis is a bug in octavo; please report it.\n",
               file, line, condition);
  std::abort();
}

}  // namespace octavo::core
