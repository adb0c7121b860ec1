#include "format/gguf_writer.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "core/random.h"
#include "core/temp_folder.h"
#include "format/gguf_encode.h"
#include "tensor/dtype.h"
#include "tensor/quant_spec.h"

namespace octavo::format {
namespace {

std::string Bytes(size_t count, char first) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += static_cast<char>(first + static_cast<char>(i % 7));
  return out;
}

TEST(GgufWriter, ReadsBackAsItWasWritten) {
  const core::TempFolder temp;
  const GgufMetadata metadata = {{"general.architecture", std::string("llama")},
                                 {"a.u32", uint32_t{4000000000}},
                                 {"a.f32", 1e-5F},
                                 {"a.bool", true},
                                 {"a.text", std::string("h\u00e9")},
                                 {"a.texts", std::vector<std::string>{"a", "", "b"}},
                                 {"a.ints", std::vector<int32_t>{1, -2}},
                                 {"a.floats", std::vector<float>{0.5F}}};
  const std::vector<GgufTensorPlan> plan = {{"odd", GgufType::kF16, {3, 1}},
                                            {"none", GgufType::kF32, {0, 4}},
                                            {"blocks", GgufType::kQ8_0, {2, 32}},
                                            {"nibbles", GgufType::kQ4_0, {1, 64}}};
  auto writer = GgufWriter::Create(temp / "m.gguf", metadata, plan);
  ASSERT_TRUE(writer.ok()) << writer.error().message();
  EXPECT_FALSE(core::FileExists(temp / "m.gguf")) << "before Commit";
  const std::string data[] = {Bytes(6, 'a'), Bytes(68, 'b'), Bytes(36, 'c')};
  for (const std::string& bytes : data) {
    const size_t half = bytes.size() / 2;  // in two pieces
    for (const auto& piece : {bytes.substr(0, half), bytes.substr(half)})
      ASSERT_TRUE(writer.value().Append(core::AsBytes(std::string_view(piece))).ok());
  }
  const auto hash = writer.value().Commit();
  ASSERT_TRUE(hash.ok()) << hash.error().message();
  EXPECT_EQ(hash.value(), core::Sha256File(temp / "m.gguf").value());

  const auto opened = GgufFile::Open(temp / "m.gguf");
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  const GgufFile& file = opened.value();
  EXPECT_EQ(file.values().size(), metadata.size());
  EXPECT_EQ(file.GetInt("a.u32").value(), 4000000000);
  EXPECT_EQ(file.GetDouble("a.f32").value(), static_cast<double>(1e-5F));
  EXPECT_EQ(std::get<bool>(*file.FindValue("a.bool")), true);
  EXPECT_EQ(file.GetString("a.text").value(), "h\u00e9");
  EXPECT_EQ(file.GetStrings("a.texts").value(), (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(*file.FindValue("a.ints"), GgufValue(GgufArray(std::vector<int64_t>{1, -2})));
  EXPECT_EQ(*file.FindValue("a.floats"), GgufValue(GgufArray(std::vector<double>{0.5})));
  ASSERT_EQ(file.tensors().size(), plan.size());
  size_t at = 0;
  for (size_t i = 0; i < plan.size(); ++i) {
    const GgufTensor& tensor = file.tensors()[i];
    EXPECT_EQ(tensor.name, plan[i].name);
    EXPECT_EQ(tensor.type, plan[i].type);
    EXPECT_EQ(tensor.shape, plan[i].shape);
    EXPECT_EQ(core::AsText(tensor.bytes), plan[i].name == "none" ? "" : data[at++]);
  }
}

TEST(GgufWriter, RefusesPlansThatNobodyCouldRead) {
  const core::TempFolder temp;
  const auto error = [&](std::vector<GgufTensorPlan> plan) {
    const auto writer = GgufWriter::Create(temp / "m.gguf", {}, std::move(plan));
    return writer.ok() ? "created" : writer.error().message();
  };
  EXPECT_EQ(error({{std::string(63, 'n'), GgufType::kF32, {1}}}), "created");
  EXPECT_NE(error({{std::string(64, 'n'), GgufType::kF32, {1}}}).find("too long"),
            std::string::npos);
  EXPECT_NE(error({{"a", GgufType::kF32, {1}}, {"a", GgufType::kF32, {1}}}).find("taken"),
            std::string::npos);
  EXPECT_NE(error({{"a", GgufType::kQ8_0, {2, 33}}}).find("does not fit"), std::string::npos);
  EXPECT_NE(error({{"a", GgufType::kF32, {int64_t{1} << 62, 4}}}).find("fit"), std::string::npos);
  EXPECT_TRUE(core::ListFolder(temp.path()).value().empty());
}

TEST(GgufWriter, AMissingTensorIsNoFile) {
  const core::TempFolder temp;
  auto writer = GgufWriter::Create(temp / "m.gguf", {}, {{"a", GgufType::kF32, {2}}});
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer.value().Append(core::AsBytes(std::string_view("1234"))).ok());
  const auto committed = writer.value().Commit();
  ASSERT_FALSE(committed.ok());
  EXPECT_NE(committed.error().message().find("'a' was never written whole"), std::string::npos);
  EXPECT_FALSE(core::FileExists(temp / "m.gguf"));
}

// Every code and awkward scales; what the blocks are worth is code * scale, bit for bit.
TEST(GgufEncode, CopiedCodesAreWorthTheSame) {
  for (const int bits : {8, 4}) {
    const GgufType type = bits == 8 ? GgufType::kQ8_0 : GgufType::kQ4_0;
    for (const size_t group : {size_t{32}, size_t{64}, size_t{256}}) {
      std::vector<int8_t> codes;
      for (int i = 0; i < 256; ++i)
        codes.push_back(static_cast<int8_t>(bits == 8 ? i - 128 : i % 16 - 8));
      std::vector<float> scales;
      for (size_t g = 0; g < codes.size() / group; ++g)
        scales.push_back(
            tensor::RoundToDType(std::ldexp(1.37F, -static_cast<int>(g) * 3), tensor::DType::kF16));
      std::vector<std::byte> bytes(codes.size() / 32 * static_cast<size_t>(BlockOf(type).bytes));
      GgufCopyCodes(type, codes, scales, bytes);
      std::vector<float> values(codes.size());
      GgufDequantize({"t", type, {256}, bytes}, 0, values);
      for (size_t i = 0; i < codes.size(); ++i)
        ASSERT_EQ(values[i], static_cast<float>(codes[i]) * scales[i / group]) << bits << " " << i;
    }
  }
}

TEST(GgufEncode, WhichScalesFitF16) {
  EXPECT_TRUE(FitsF16(0x1p-14F));
  EXPECT_TRUE(FitsF16(0x1p-24F)) << "subnormal, and exact";
  EXPECT_TRUE(FitsF16(65504));
  EXPECT_FALSE(FitsF16(0x1.001p0F));
  EXPECT_FALSE(FitsF16(0x1.8p-24F));
  EXPECT_FALSE(FitsF16(0x1p-30F));
  EXPECT_FALSE(FitsF16(65520));
}

TEST(GgufEncode, FloatsBecomeQ8AsGgmlHasIt) {
  core::Random random(5);
  std::vector<float> values(64);
  for (float& x : values) x = static_cast<float>(random.Normal());
  values[40] = -100;  // the second block's largest
  std::vector<std::byte> bytes(68);
  ASSERT_TRUE(GgufQuantizeQ8_0(values, bytes));
  for (size_t b = 0; b < 2; ++b) {
    float absmax = 0;
    for (size_t i = 0; i < 32; ++i) absmax = std::max(absmax, std::fabs(values[32 * b + i]));
    uint16_t half = 0;
    std::memcpy(&half, bytes.data() + 34 * b, 2);
    EXPECT_EQ(half, tensor::FloatToF16(absmax / 127.0F));
    for (size_t i = 0; i < 32; ++i) {
      const auto code = static_cast<int8_t>(bytes[34 * b + 2 + i]);
      EXPECT_EQ(code, std::round(values[32 * b + i] * (1.0F / (absmax / 127.0F))));
    }
  }
  std::vector<float> half_way(32, 0.5F);
  half_way[0] = 127;
  ASSERT_TRUE(GgufQuantizeQ8_0(half_way, std::span(bytes).first(34)));
  EXPECT_EQ(static_cast<int8_t>(bytes[3]), 1) << "away from zero, unlike octavo's own codes";
  std::vector<float> zeros(32, 0.0F);
  ASSERT_TRUE(GgufQuantizeQ8_0(zeros, std::span(bytes).first(34)));
  EXPECT_EQ(bytes[2], std::byte{0});
  std::vector<float> tiny(32, 1e-40F);  // 127 / 1e-40 is infinite
  ASSERT_TRUE(GgufQuantizeQ8_0(tiny, std::span(bytes).first(34)));
  EXPECT_EQ(bytes[2], std::byte{0});
  std::vector<float> huge(32, 1e30F);
  EXPECT_FALSE(GgufQuantizeQ8_0(huge, std::span(bytes).first(34)));
}

}  // namespace
}  // namespace octavo::format
