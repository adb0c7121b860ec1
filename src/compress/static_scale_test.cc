#include "compress/static_scale.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"

namespace octavo::compress {
namespace {

std::vector<float> Noise(int64_t values, uint64_t seed) {
  core::Random random(seed);
  std::vector<float> out(static_cast<size_t>(values));
  for (float& x : out) x = static_cast<float>(random.Uniform() * 2 - 1);
  return out;
}

TEST(StaticScale, ReachesToTheLargestWhereNothingIsWorthClipping) {
  const std::vector<float> sample = Noise(64 * 32, 1);
  const StaticScale chosen = ChooseStaticScale(1.0F, sample, 32);
  EXPECT_NEAR(chosen.scale, 1.0F / 127.0F, 2e-4F);
  EXPECT_LT(chosen.cost(), 1.5);
  EXPECT_GE(chosen.cost(), 1.0);
}

TEST(StaticScale, OneTokenThatIsFarLargerIsDear) {
  std::vector<float> sample = Noise(64 * 32, 2);
  sample[5] = 300;
  const StaticScale chosen = ChooseStaticScale(300.0F, sample, 32);
  EXPECT_GT(chosen.cost(), kDearStaticCost);
  // Neither all of the outlier nor all of the others' resolution is given up for the other.
  EXPECT_LE(chosen.scale, 300.0F / 127.0F);
}

TEST(StaticScale, ClipsAFewWhenThatRoundsTheOthersBetter) {
  std::vector<float> sample = Noise(4096, 3);
  for (float& x : sample) x *= 0.5F;
  sample[7] = 0.52F;
  EXPECT_LT(ChooseStaticScale(0.52F, sample, 64).scale, 0.515F / 127.0F);
}

TEST(StaticScale, ALayerOfZerosHasAScale) {
  const StaticScale chosen = ChooseStaticScale(0.0F, std::vector<float>(64), 32);
  EXPECT_EQ(chosen.scale, 1.0F);
  EXPECT_EQ(chosen.cost(), 1.0);
}

TEST(StaticNotes, NameTheBlocksAndTheRuleThatMendsThem) {
  std::vector<core::Json> reports(12, {{"down", {{"static_cost", 3.0}}}, {"qkv", {{"x", 1}}}});
  EXPECT_TRUE(StaticNotes(reports).empty());
  reports[1]["down"]["static_cost"] = 40.4;
  reports[11]["down"]["static_cost"] = 25.0;
  const std::vector<std::string> notes = StaticNotes(reports);
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("up to 40 times"), std::string::npos) << notes[0];
  EXPECT_NE(notes[0].find("down_proj in 2 of 12 blocks"), std::string::npos) << notes[0];
  EXPECT_NE(notes[0].find(R"(--keep 'layers\.(1|11)\..*down_proj=w8a8')"), std::string::npos)
      << notes[0];
}

}  // namespace
}  // namespace octavo::compress
