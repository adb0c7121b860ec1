// The only file that includes Boost.Math.
#include "stats/student_t.h"

#include <boost/math/distributions/students_t.hpp>

#include "core/check.h"

namespace octavo::stats {

double StudentTQuantile(double p, double degrees) {
  OCTAVO_CHECK(p > 0 && p < 1 && degrees > 0);
  return boost::math::quantile(boost::math::students_t(degrees), p);
}

}  // namespace octavo::stats
