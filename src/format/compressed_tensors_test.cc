#include "format/compressed_tensors.h"

#include <limits>

#include <gtest/gtest.h>

#include "core/temp_folder.h"

namespace octavo::format {
namespace {

using core::Json;
using tensor::Activations;
using tensor::DType;
using tensor::QuantizedTensor;
using tensor::Scheme;

constexpr Scheme kW8A16 = {8, 0, Activations::kFloat};
constexpr Scheme kW4A16G32 = {4, 32, Activations::kFloat};
constexpr Scheme kW8A8 = {8, 0, Activations::kDynamicPerToken};
constexpr Scheme kStatic = {8, 0, Activations::kStaticPerTensor};

Json Config(const std::string& quantization) {
  return core::ParseJson("{\"quantization_config\":" + quantization + "}").value();
}

// A W8A16 configuration; `more` may change any of its parts.
Json Usual(const char* pointer = nullptr, const char* value = nullptr) {
  Json config = Config(R"({"quant_method": "compressed-tensors", "format": "pack-quantized",
    "quantization_status": "compressed", "global_compression_ratio": null, "kv_cache_scheme": null,
    "config_groups": {"group_0": {"targets": ["Linear"], "input_activations": null,
      "output_activations": null, "weights": {"num_bits": 8, "type": "int", "symmetric": true,
      "strategy": "channel", "group_size": null, "block_structure": null, "dynamic": false,
      "actorder": null, "observer": "minmax", "observer_kwargs": {}}}},
    "ignore": ["lm_head"], "sparsity_config": {}, "transform_config": {}, "version": "0.17.0"})");
  if (pointer == nullptr) return config;
  config[Json::json_pointer(std::string("/quantization_config") + pointer)] =
      core::ParseJson(value).value();
  return config;
}

std::string ParseError(const Json& config) {
  const auto parsed = QuantizationConfig::Parse(config);
  return parsed.ok() ? "parsed" : parsed.error().message();
}

TEST(PackRow, PlacesCodesLowBitsFirst) {
  const std::vector<int8_t> codes8 = {-127, 0, 127, -1, 5};
  std::vector<int32_t> words(2);
  PackRow(codes8, 8, words);
  EXPECT_EQ(static_cast<uint32_t>(words[0]), 0x7FFF8001U);
  EXPECT_EQ(static_cast<uint32_t>(words[1]), 0x00000085U);
  const std::vector<int8_t> codes4 = {-8, 7, 0, 1, 2, 3, 4, 5, -1};
  PackRow(codes4, 4, words);
  EXPECT_EQ(static_cast<uint32_t>(words[0]), 0xDCBA98F0U);
  EXPECT_EQ(static_cast<uint32_t>(words[1]), 0x00000007U);
}

TEST(PackRow, UnpackGivesEveryCodeBack) {
  for (const int bits : {8, 4}) {
    std::vector<int8_t> codes;
    for (int code = -(1 << (bits - 1)); code < 1 << (bits - 1); ++code) {
      codes.push_back(static_cast<int8_t>(code));
    }
    codes.resize(codes.size() - 3);
    std::vector<int32_t> words(
        static_cast<size_t>(PackedWords(static_cast<int64_t>(codes.size()), bits)));
    PackRow(codes, bits, words);
    std::vector<int8_t> back(codes.size());
    UnpackRow(words, bits, back);
    EXPECT_EQ(back, codes) << bits;
  }
}

TEST(QuantizationConfig, ReadsWhatItMakes) {
  for (const char* name : {"w8a16", "w8a16-g64", "w4a16-g32", "w8a8", "w8a8-static", "w8a16-tensor",
                           "w8a8-tensor", "w8a8-static-tensor"}) {
    const Scheme scheme = tensor::ParseScheme(name).value();
    const Json config = {
        {"quantization_config", MakeQuantizationConfig({{{"Linear"}, scheme}}, {"lm_head"})}};
    const auto parsed = QuantizationConfig::Parse(config);
    ASSERT_TRUE(parsed.ok()) << parsed.error().message();
    EXPECT_EQ(parsed.value().SchemeOf("model.layers.0.mlp.up_proj"), scheme) << name;
    EXPECT_EQ(parsed.value().SchemeOf("lm_head"), std::nullopt);
    EXPECT_EQ(parsed.value().SchemeOf("model.embed_tokens"), std::nullopt);
  }
}

TEST(QuantizationConfig, AbsentMeansNothingIsQuantized) {
  const auto parsed = QuantizationConfig::Parse(Json::object());
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE(parsed.value().empty());
  EXPECT_EQ(parsed.value().SchemeOf("lm_head"), std::nullopt);
}

TEST(QuantizationConfig, TargetsAndIgnoredMayBePatterns) {
  const std::string group =
      R"({"weights":{"num_bits":8,"type":"int","strategy":"channel"},"targets":)";
  const Json config = Config(
      R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"g":)" +
      group +
      R"(["re:.*mlp\\.up_proj$","model.layers.1.self_attn.q_proj"]}},"ignore":["re:model.layers.2.*"]})");
  const auto parsed = QuantizationConfig::Parse(config);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message();
  const auto quantized = [&](const char* module) {
    return parsed.value().SchemeOf(module).has_value();
  };
  EXPECT_TRUE(quantized("model.layers.0.mlp.up_proj"));
  EXPECT_TRUE(quantized("model.layers.1.self_attn.q_proj"));
  EXPECT_FALSE(quantized("model.layers.0.mlp.up_proj2"));
  EXPECT_FALSE(quantized("model.layers.0.mlpxup_proj"));
  EXPECT_FALSE(quantized("model.layers.0.self_attn.q_proj"));
  EXPECT_FALSE(quantized("model.layers.2.mlp.up_proj"));
}

TEST(QuantizationConfig, RefusesWhatItCannotRunByName) {
  EXPECT_EQ(ParseError(Usual()), "parsed");
  const struct {
    const char* pointer;
    const char* value;
    const char* error;
  } cases[] = {
      {"", "7", "must be an object"},
      {"/quant_method", "\"gptq\"", "quant_method 'gptq'"},
      {"/quant_method", "7", "'quant_method'"},
      {"/format", "\"nvfp4-pack-quantized\"", "format 'nvfp4-pack-quantized'"},
      {"/format", "\"mixed-precision\"", "format 'mixed-precision'"},
      {"/quantization_status", "\"frozen\"", "'quantization_status' frozen"},
      {"/sparsity_config", R"({"format":"sparse-24-bitmask"})", "'sparsity_config'"},
      {"/transform_config", R"({"config_groups":{}})", "'transform_config'"},
      {"/kv_cache_scheme", R"({"num_bits":8})", "'kv_cache_scheme'"},
      {"/config_groups", "{}", "'config_groups' is empty"},
      {"/config_groups", "[]", "'config_groups' must be an object"},
      {"/config_groups/group_0", "7", "config_groups.group_0"},
      {"/config_groups/group_0/weights", "null", "without 'weights'"},
      {"/config_groups/group_0/weights/type", "\"float\"", "type 'float'"},
      {"/config_groups/group_0/weights/symmetric", "false", "'symmetric': false"},
      {"/config_groups/group_0/weights/num_bits", "3", "'num_bits' 3"},
      {"/config_groups/group_0/weights/num_bits", "9223372036854775808", "'num_bits'"},
      {"/config_groups/group_0/weights/strategy", "\"block\"", "'strategy' block"},
      {"/config_groups/group_0/weights/strategy", "\"group\"", "positive 'group_size'"},
      {"/config_groups/group_0/weights/dynamic", "true", "'dynamic': true"},
      {"/config_groups/group_0/weights/actorder", "\"group\"", "'actorder' group"},
      {"/config_groups/group_0/weights/actorder", "\"dynamic\"", "'actorder' dynamic"},
      {"/config_groups/group_0/weights/secret", "1", "'secret'"},
      {"/config_groups/group_0/output_activations", R"({"num_bits":8})", "'output_activations'"},
      {"/config_groups/group_0/input_activations", R"({"num_bits":8,"strategy":"group"})",
       "neither dynamic per token nor static per tensor"},
      {"/config_groups/group_0/input_activations", R"({"num_bits":4,"strategy":"token"})",
       "4 bits"},
      {"/config_groups/group_0/targets", "[\"Embedding\"]", "class 'Embedding'"},
      {"/config_groups/group_0/targets", "[7]", "'targets'"},
      {"/config_groups/group_0/targets", "[\"re:(?!a)b\"]", "pattern '(?!a)b'"},
      {"/ignore", R"(["re:\\bhead"])", "pattern '\\bhead'"},
      {"/ignore", "\"lm_head\"", "'ignore'"},
  };
  for (const auto& c : cases) {
    const std::string error = ParseError(Usual(c.pointer, c.value));
    EXPECT_NE(error.find(c.error), std::string::npos) << c.pointer << " got: " << error;
    EXPECT_EQ(error.find('\n'), std::string::npos);
  }
}

TEST(QuantizationConfig, MixedSchemesAreGroupsWithFormatsOfTheirOwn) {
  const auto scheme = [](const char* name) { return tensor::ParseScheme(name).value(); };
  const std::vector<LayerScheme> layers = {{"model.layers.0.self_attn.q_proj", scheme("w8a8")},
                                           {"model.layers.0.self_attn.k_proj", scheme("w8a8")},
                                           {"model.layers.0.mlp.up_proj", scheme("w4a16-g32")},
                                           {"model.layers.0.mlp.down_proj", scheme("16")},
                                           {"model.layers.1.self_attn.q_proj", scheme("w8a8")},
                                           {"lm_head", scheme("w8a16")}};
  const Json made = MakeQuantizationConfig(layers);
  EXPECT_EQ(made["format"], "mixed-precision");
  EXPECT_EQ(made["config_groups"].size(), 3U);
  EXPECT_EQ(made["config_groups"]["group_0"]["targets"], Json::array({"Linear"}));
  EXPECT_EQ(made["config_groups"]["group_0"]["format"], "int-quantized");
  EXPECT_EQ(made["config_groups"]["group_1"]["format"], "pack-quantized");
  EXPECT_EQ(made["ignore"], Json::array({"model.layers.0.mlp.down_proj"}));
  const auto parsed = QuantizationConfig::Parse({{"quantization_config", made}});
  ASSERT_TRUE(parsed.ok()) << parsed.error().message();
  for (const LayerScheme& layer : layers) {
    const auto got = parsed.value().SchemeOf(layer.module);
    EXPECT_EQ(got.value_or(scheme("16")), layer.scheme) << layer.module;
  }
  // A head that the class covers is named for vLLM, where it is of another class.
  EXPECT_EQ(MakeQuantizationConfig({{{"Linear"}, scheme("w8a8")}},
                                   {})["config_groups"]["group_0"]["targets"],
            Json::array({"Linear", "lm_head"}));
  EXPECT_EQ(MakeQuantizationConfig({{{"Linear"}, scheme("w8a8")}},
                                   {"lm_head"})["config_groups"]["group_0"]["targets"],
            Json::array({"Linear"}));
  // One layout: the folder's format is that of all, as older readers want it.
  EXPECT_EQ(MakeQuantizationConfig({{"a", scheme("w8a16")}, {"b", scheme("w4a16-g64")}})["format"],
            "pack-quantized");
}

// As llm-compressor writes them: one group by a pattern with choices, another by a class.
TEST(QuantizationConfig, ANameBeatsAPatternAndAPatternTheClass) {
  Json config = Usual();
  Json& groups = config["quantization_config"]["config_groups"];
  groups["group_1"] = groups["group_0"];
  groups["group_1"]["targets"] = {R"(re:.*\.(q|k|v)_proj$)"};
  groups["group_1"]["weights"]["strategy"] = "group";
  groups["group_1"]["weights"]["group_size"] = 128;
  groups["group_2"] = groups["group_0"];
  groups["group_2"]["targets"] = {"model.layers.3.self_attn.v_proj"};
  groups["group_2"]["weights"]["strategy"] = "tensor";
  groups["group_2"]["weights"]["actorder"] = "static";
  config["quantization_config"]["ignore"] = {R"(re:model\.layers\.([01])\..*)", "lm_head"};
  const auto parsed = QuantizationConfig::Parse(config);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message();
  const auto name = [&](const char* module) {
    return tensor::SchemeName(parsed.value().SchemeOf(module).value_or(Scheme{}));
  };
  EXPECT_EQ(name("model.layers.2.self_attn.v_proj"), "w8a16-g128");
  EXPECT_EQ(name("model.layers.3.self_attn.v_proj"), "w8a16-tensor");
  EXPECT_EQ(name("model.layers.3.self_attn.o_proj"), "w8a16");
  EXPECT_EQ(name("model.layers.1.self_attn.o_proj"), "16");
  EXPECT_EQ(name("model.layers.11.self_attn.o_proj"), "w8a16");
}

TEST(QuantizationConfig, OnlineRotationHasAMethodOfItsOwn) {
  const Json plain = MakeQuantizationConfig({{{"Linear"}, kW8A8}}, {"lm_head"});
  const uint64_t seed = 0xFEDCBA9876543210U;
  Json config = {{"quantization_config", WithOnlineRotation(plain, {1536, seed})}};
  EXPECT_EQ(config["quantization_config"]["quant_method"], "octavo");
  // As it comes from a file.
  config = core::ParseJson(core::DumpJson(config)).value();
  const auto parsed = QuantizationConfig::Parse(config);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message();
  ASSERT_TRUE(parsed.value().down_rotation().has_value());
  EXPECT_EQ(parsed.value().down_rotation()->order, 1536);
  EXPECT_EQ(parsed.value().down_rotation()->seed, seed);
  EXPECT_EQ(parsed.value().SchemeOf("model.layers.0.mlp.up_proj"), kW8A8);
  EXPECT_FALSE(QuantizationConfig::Parse({{"quantization_config", plain}}).value().down_rotation());

  // 16-bit weights may be rotated, too; such a folder is no base.
  config =
      Config(R"({"quant_method":"octavo","online_rotation":{"down_proj":{"order":8,"seed":0}}})");
  ASSERT_TRUE(QuantizationConfig::Parse(config).ok());
  EXPECT_FALSE(QuantizationConfig::Parse(config).value().empty());
  EXPECT_EQ(QuantizationConfig::Parse(config).value().SchemeOf("lm_head"), std::nullopt);
}

TEST(QuantizationConfig, HostileRotationsAreRefusedByName) {
  const struct {
    const char* pointer;
    const char* value;
    const char* error;
  } cases[] = {
      {"/quant_method", "\"compressed-tensors\"", "'online_rotation' needs quant_method 'octavo'"},
      {"/online_rotation", "null", "without 'online_rotation'"},
      {"/online_rotation", "7", "online_rotation: must be an object"},
      {"/online_rotation", "{}", "'down_proj' must be an object"},
      {"/online_rotation/down_proj", "[]", "'down_proj' must be an object"},
      {"/online_rotation/up_proj", "{}", "'up_proj'"},
      {"/online_rotation/down_proj/angle", "1", "'angle'"},
      {"/online_rotation/down_proj/order", "0", "'order' is 0"},
      {"/online_rotation/down_proj/order", "-8", "'order' is -8"},
      {"/online_rotation/down_proj/order", "16777217", "'order' is 16777217"},
      {"/online_rotation/down_proj/order", "\"8\"", "'order'"},
      {"/online_rotation/down_proj/order", "1e300", "'order'"},
      {"/online_rotation/down_proj/seed", "-1", "'seed'"},
      {"/online_rotation/down_proj/seed", "1.5", "'seed'"},
      {"/online_rotation/down_proj/seed", "null", "'seed'"},
  };
  for (const auto& c : cases) {
    Json config = Usual();
    config["quantization_config"] =
        WithOnlineRotation(std::move(config["quantization_config"]), {8, 1});
    config = core::ParseJson(core::DumpJson(config)).value();
    EXPECT_EQ(ParseError(config), "parsed");
    config[Json::json_pointer(std::string("/quantization_config") + c.pointer)] =
        core::ParseJson(c.value).value();
    const std::string error = ParseError(config);
    EXPECT_NE(error.find(c.error), std::string::npos) << c.pointer << " got: " << error;
  }
}

// A folder with one linear module "m" written as `scheme`.
class QuantizedLinear : public testing::Test {
 protected:
  core::Result<ModelFolder> Write(const std::vector<TensorPlan>& plan,
                                  const std::vector<std::string>& data) {
    OCTAVO_RETURN_IF_ERROR(core::WriteFileAtomic(temp_ / "config.json", "{}"));
    OCTAVO_TRY(auto writer, SafetensorsWriter::Create(temp_ / "model.safetensors", plan));
    for (const std::string& bytes : data) {
      OCTAVO_RETURN_IF_ERROR(writer.Append(core::AsBytes(std::string_view(bytes))));
    }
    OCTAVO_TRY(const std::string hash, writer.Commit());
    return ModelFolder::Open(temp_.path());
  }
  core::Result<ModelFolder> Write(const QuantizedTensor& weight, const Scheme& scheme) {
    OCTAVO_RETURN_IF_ERROR(core::WriteFileAtomic(temp_ / "config.json", "{}"));
    OCTAVO_TRY(auto writer,
               SafetensorsWriter::Create(
                   temp_ / "model.safetensors",
                   PlanQuantizedLinear("m", weight.n, weight.k, scheme, weight.scale_dtype)));
    OCTAVO_RETURN_IF_ERROR(WriteQuantizedLinear(writer, weight, scheme));
    OCTAVO_TRY(const std::string hash, writer.Commit());
    return ModelFolder::Open(temp_.path());
  }
  template <typename T>
  static std::string Bytes(const std::vector<T>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
  }
  // Reads a packed module of shape [1, 5] whose parts are given; the error, or "read".
  std::string ReadPacked(const std::vector<int32_t>& words, const std::vector<float>& scales,
                         const std::vector<int64_t>& shape, const Scheme& scheme = kW8A16) {
    const auto folder =
        Write({{"m.weight_packed", DType::kI32, {1, static_cast<int64_t>(words.size())}},
               {"m.weight_scale", DType::kF32, {1, static_cast<int64_t>(scales.size())}},
               {"m.weight_shape", DType::kI64, {static_cast<int64_t>(shape.size())}}},
              {Bytes(words), Bytes(scales), Bytes(shape)});
    if (!folder.ok()) return folder.error().message();
    const auto read = ReadQuantizedLinear(folder.value(), "m", scheme);
    return read.ok() ? "read" : read.error().message();
  }

  core::TempFolder temp_;
};

TEST_F(QuantizedLinear, RoundTripsInEveryLayout) {
  const struct {
    Scheme scheme;
    int64_t k;
    DType scale_dtype;
  } cases[] = {{kW8A16, 37, DType::kF16},
               {{8, 16, Activations::kFloat}, 48, DType::kBF16},
               {kW4A16G32, 64, DType::kF16},
               {kW8A8, 37, DType::kF32},
               {{8, 0, Activations::kFloat, true}, 37, DType::kF16},
               {{8, 0, Activations::kDynamicPerToken, true}, 37, DType::kF32},
               {kStatic, 37, DType::kF32}};
  for (const auto& c : cases) {
    QuantizedTensor weight;
    weight.n = 3;
    weight.k = c.k;
    weight.bits = c.scheme.weight_bits;
    weight.group_size = c.scheme.group_size == 0 ? c.k : c.scheme.group_size;
    weight.scale_dtype = c.scale_dtype;
    for (int64_t i = 0; i < weight.n * weight.k; ++i) {
      const int64_t span = weight.bits == 8 ? 256 : 16;
      weight.codes.push_back(static_cast<int8_t>(i % span - span / 2));
    }
    for (int64_t i = 0; i < weight.n * weight.groups(); ++i) {
      weight.scales.push_back(0.25F * static_cast<float>(c.scheme.per_tensor ? 1 : i + 1));
    }
    if (c.scheme == kStatic) weight.input_scale = 0.0123F;
    const auto folder = Write(weight, c.scheme);
    ASSERT_TRUE(folder.ok()) << folder.error().message();
    const auto read = ReadQuantizedLinear(folder.value(), "m", c.scheme);
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_EQ(read.value().codes, weight.codes);
    EXPECT_EQ(read.value().scales, weight.scales);
    EXPECT_EQ(read.value().scale_dtype, weight.scale_dtype);
    EXPECT_EQ(read.value().input_scale, weight.input_scale);
    EXPECT_EQ(read.value().group_size, weight.group_size);
    EXPECT_EQ(read.value().n, weight.n);
    EXPECT_EQ(read.value().k, weight.k);
  }
}

TEST_F(QuantizedLinear, HostilePartsAreRefusedByName) {
  const int64_t huge = int64_t{1} << 62;
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(ReadPacked({0, 0}, {1}, {1, 5}), "read");
  const struct {
    std::vector<int32_t> words;
    std::vector<float> scales;
    std::vector<int64_t> shape;
    const char* error;
  } cases[] = {
      {{0, 0}, {1}, {1, huge}, "'weight_shape'"},
      {{0, 0}, {1}, {huge, 5}, "'weight_shape'"},
      {{0, 0}, {1}, {1, -5}, "'weight_shape'"},
      {{0, 0}, {1}, {1, 4}, "'weight_shape'"},
      {{0, 0}, {1}, {1, 9}, "'weight_shape'"},
      {{0, 0}, {1}, {1}, "'m.weight_shape' is I64 [1]"},
      {{}, {1}, {1, 0}, "layer 'm' is empty"},
      {{0, 0x100}, {1}, {1, 5}, "bits behind its last code"},
      {{0, 0}, {0}, {1, 5}, "'m.weight_scale' holds 0"},
      {{0, 0}, {-1}, {1, 5}, "positive and finite"},
      {{0, 0}, {inf}, {1, 5}, "positive and finite"},
      {{0, 0}, {std::numeric_limits<float>::quiet_NaN()}, {1, 5}, "positive and finite"},
      {{0, 0}, {1, 1}, {1, 5}, "expected floats of shape [1, 1]"},
  };
  for (const auto& c : cases) {
    const std::string error = ReadPacked(c.words, c.scales, c.shape);
    EXPECT_NE(error.find(c.error), std::string::npos) << "got: " << error << " not: " << c.error;
  }
  EXPECT_NE(ReadPacked({0, 0}, {1}, {1, 5}, {8, 2, Activations::kFloat}).find("does not divide"),
            std::string::npos);
}

// llm-compressor's scales of one number are [1]; older folders have [] and flat scales have [N].
TEST_F(QuantizedLinear, ScalesOfEveryShapeThatIsWritten) {
  const Scheme per_tensor = {8, 0, Activations::kDynamicPerToken, true};
  const auto read = [&](const tensor::Shape& shape, const std::vector<float>& scales,
                        const Scheme& scheme) {
    const auto folder =
        Write({{"m.weight", DType::kI8, {2, 1}}, {"m.weight_scale", DType::kF32, shape}},
              {"xy", Bytes(scales)});
    if (!folder.ok()) return folder.error().message();
    const auto linear = ReadQuantizedLinear(folder.value(), "m", scheme);
    if (!linear.ok()) return linear.error().message();
    return "read " + std::to_string(linear.value().scales[0] + 10 * linear.value().scales[1]);
  };
  EXPECT_EQ(read({1}, {3}, per_tensor), "read 33.000000");
  EXPECT_EQ(read({}, {3}, per_tensor), "read 33.000000");
  EXPECT_EQ(read({1, 1}, {3}, per_tensor), "read 33.000000");
  EXPECT_EQ(read({2, 1}, {3, 4}, kW8A8), "read 43.000000");
  EXPECT_EQ(read({2}, {3, 4}, kW8A8), "read 43.000000");
  EXPECT_NE(read({1}, {3}, kW8A8).find("expected floats of shape [2, 1]"), std::string::npos);
  EXPECT_NE(read({2, 1}, {3, 4}, per_tensor).find("expected floats of shape [1]"),
            std::string::npos);
  EXPECT_NE(read({1}, {-3}, per_tensor).find("positive and finite"), std::string::npos);
}

// Others store it as one number of the model's type, with or without a dimension.
TEST_F(QuantizedLinear, InputScalesOfOthersAreReadAndHostileOnesRefused) {
  const auto read = [&](DType dtype, const tensor::Shape& shape, const std::string& bytes) {
    const std::string one = Bytes<float>({1});
    const auto folder = Write({{"m.weight", DType::kI8, {1, 1}},
                               {"m.weight_scale", DType::kF32, {1, 1}},
                               {"m.input_scale", dtype, shape}},
                              {"x", one, bytes});
    if (!folder.ok()) return folder.error().message();
    const auto weight = ReadQuantizedLinear(folder.value(), "m", kStatic);
    return weight.ok() ? std::to_string(*weight.value().input_scale) : weight.error().message();
  };
  EXPECT_EQ(read(DType::kBF16, {1}, Bytes<uint16_t>({0x3F00})), "0.500000");
  EXPECT_EQ(read(DType::kF16, {}, Bytes<uint16_t>({0x3400})), "0.250000");
  EXPECT_EQ(read(DType::kF32, {1}, Bytes<float>({2})), "2.000000");
  const float inf = std::numeric_limits<float>::infinity();
  for (const float bad : {0.0F, -1.0F, inf, std::numeric_limits<float>::quiet_NaN()}) {
    EXPECT_NE(read(DType::kF32, {1}, Bytes<float>({bad})).find("'m.input_scale' holds"),
              std::string::npos);
  }
  EXPECT_NE(read(DType::kF32, {2}, Bytes<float>({1, 1})).find("'m.input_scale' is F32 [2]"),
            std::string::npos);
  EXPECT_NE(read(DType::kI32, {1}, Bytes<int32_t>({1})).find("expected one float"),
            std::string::npos);
  const auto folder =
      Write({{"m.weight", DType::kI8, {1, 1}}, {"m.weight_scale", DType::kF32, {1, 1}}},
            {"x", Bytes<float>({1})});
  const auto missing = ReadQuantizedLinear(folder.value(), "m", kStatic);
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message().find("m.input_scale"), std::string::npos);
}

TEST_F(QuantizedLinear, OtherTypesAndExtraTensorsAreRefused) {
  const TensorPlan scale = {"m.weight_scale", DType::kF32, {1, 1}};
  const std::string one = Bytes<float>({1});
  const auto error = [&](const std::vector<TensorPlan>& plan, const std::vector<std::string>& data,
                         const Scheme& scheme) {
    const auto folder = Write(plan, data);
    if (!folder.ok()) return folder.error().message();
    const auto read = ReadQuantizedLinear(folder.value(), "m", scheme);
    return read.ok() ? std::string("read") : read.error().message();
  };
  EXPECT_NE(error({{"m.weight", DType::kF32, {1, 1}}, scale}, {one, one}, kW8A8)
                .find("'m.weight' is F32 [1, 1], expected I8"),
            std::string::npos);
  EXPECT_NE(error({{"m.weight", DType::kI8, {1, 1}}}, {"x"}, kW8A8).find("'m.weight_scale'"),
            std::string::npos);
  EXPECT_NE(
      error({{"m.weight", DType::kI8, {1, 1}}, scale, {"m.weight_zero_point", DType::kI8, {1, 1}}},
            {"x", one, "x"}, kW8A8)
          .find("symmetric"),
      std::string::npos);
  EXPECT_NE(error({{"m.weight", DType::kI8, {1, 1}}, scale}, {"x", one},
                  {4, 0, Activations::kDynamicPerToken})
                .find("expected 4-bit codes"),
            std::string::npos);
}

TEST_F(QuantizedLinear, CodesInPiecesAndTheRestAreTheBytesOfTheFile) {
  core::ThreadPool pool(2);
  for (const char* name : {"w8a16", "w4a16-g10", "w8a8", "w4a8-g10"}) {
    for (const int64_t k : {40, 30}) {  // whole words or not
      const Scheme scheme = tensor::ParseScheme(name).value();
      QuantizedTensor weight;
      weight.n = 37;
      weight.k = k;
      weight.bits = scheme.weight_bits;
      weight.group_size = scheme.group_size == 0 ? k : scheme.group_size;
      weight.scale_dtype = DType::kF16;
      for (int64_t i = 0; i < weight.n * k; ++i)
        weight.codes.push_back(static_cast<int8_t>(i * 5 % 15 - 7));
      weight.scales.resize(static_cast<size_t>(weight.n * weight.groups()), 0.25F);
      const auto folder = Write(weight, scheme);
      ASSERT_TRUE(folder.ok()) << folder.error().message();
      std::vector<std::byte> want;
      for (const auto& [tensor, view] : folder.value().shards()[0].tensors())
        want.insert(want.end(), view.bytes.begin(), view.bytes.end());
      std::vector<std::byte> got;
      for (const auto& [first, rows] : {std::pair{0, 20}, {20, 17}}) {
        QuantizedTensor part = weight;
        part.n = rows;
        part.codes.assign(weight.codes.begin() + first * k,
                          weight.codes.begin() + (first + rows) * k);
        const std::vector<int8_t> codes = StoredCodes(std::move(part), scheme, pool);
        const core::ByteSpan bytes = std::as_bytes(std::span(codes));
        got.insert(got.end(), bytes.begin(), bytes.end());
      }
      weight.codes.clear();
      const std::vector<std::byte> rest = StoredRest(weight, scheme);
      got.insert(got.end(), rest.begin(), rest.end());
      EXPECT_EQ(got, want) << name << " " << k;
    }
  }
}

}  // namespace
}  // namespace octavo::format
