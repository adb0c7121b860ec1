#include "tensor/shape.h"

#include <limits>

#include <gtest/gtest.h>

namespace octavo::tensor {
namespace {

TEST(Shape, CountsElements) {
  EXPECT_EQ(ElementCount({}), 1);
  EXPECT_EQ(ElementCount({7}), 7);
  EXPECT_EQ(ElementCount({2, 3, 4}), 24);
  EXPECT_EQ(ElementCount({5, 0, 4}), 0);
}

TEST(Shape, RefusesWhatHasNoCount) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(ElementCount({kMax, 1}), kMax);
  EXPECT_EQ(ElementCount({kMax, 2}), std::nullopt);
  EXPECT_EQ(ElementCount({int64_t{1} << 32, int64_t{1} << 32}), std::nullopt);
  EXPECT_EQ(ElementCount({-1}), std::nullopt);
  EXPECT_EQ(ElementCount({-1, -1}), std::nullopt);
  // A zero does not excuse a size that others would stumble over.
  EXPECT_EQ(ElementCount({0, -1}), std::nullopt);
  EXPECT_EQ(ElementCount({0, kMax, kMax}), std::nullopt);
}

TEST(Shape, PrintsAsAList) {
  EXPECT_EQ(ShapeToString({}), "[]");
  EXPECT_EQ(ShapeToString({576, 1536}), "[576, 1536]");
}

}  // namespace
}  // namespace octavo::tensor
