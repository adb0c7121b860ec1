// Quantiles of Student's t distribution.
#pragma once

namespace octavo::stats {

// The x with P(T <= x) = p for T with `degrees` > 0 degrees of freedom; p in (0, 1). Relative error
// about 1e-15.
double StudentTQuantile(double p, double degrees);

}  // namespace octavo::stats
