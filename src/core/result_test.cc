#include "core/result.h"

#include <memory>

#include <gtest/gtest.h>

namespace octavo::core {
namespace {

Result<std::unique_ptr<int>> Half(int value) {
  if (value % 2 != 0) return Invalid("odd");
  return std::make_unique<int>(value / 2);
}

Result<int> Quarter(int value) {
  OCTAVO_TRY(const std::unique_ptr<int> half, Half(value));
  OCTAVO_TRY(const std::unique_ptr<int> quarter, Half(*half));
  return *quarter;
}

Status NeedsMultipleOfFour(int value) {
  OCTAVO_RETURN_IF_ERROR(Quarter(value));
  return {};
}

TEST(Result, TryPassesValuesAndErrorsOn) {
  ASSERT_TRUE(Quarter(12).ok());
  EXPECT_EQ(Quarter(12).value(), 3);
  ASSERT_FALSE(Quarter(6).ok());
  EXPECT_EQ(Quarter(6).error().message(), "odd");
  EXPECT_EQ(Quarter(6).error().code(), ErrorCode::kInvalid);
}

TEST(Result, StatusCarriesTheErrorOfAResult) {
  EXPECT_TRUE(NeedsMultipleOfFour(8).ok());
  ASSERT_FALSE(NeedsMultipleOfFour(7).ok());
  EXPECT_EQ(NeedsMultipleOfFour(7).error().message(), "odd");
}

TEST(Result, ContextStandsInFrontOfTheMessage) {
  const Result<int> result = Quarter(6).Context("a.json").Context("model");
  EXPECT_EQ(result.error().message(), "model: a.json: odd");
  const Status status = Status(NotFound("gone")).Context("b");
  EXPECT_EQ(status.error().message(), "b: gone");
  EXPECT_EQ(status.error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(Quarter(8).Context("unused").value(), 2);
}

TEST(ResultDeathTest, ReadingWhatIsNotThereIsABug) {
  EXPECT_DEATH(Quarter(6).value(), "internal error");
  EXPECT_DEATH(Quarter(8).error().code(), "internal error");
  EXPECT_DEATH(Status().error().code(), "internal error");
}

}  // namespace
}  // namespace octavo::core
