#include "compress/traffic_tests.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include <fmt/format.h>

#include "compress/prompt_features.h"
#include "core/bytes.h"
#include "stats/quantile.h"

namespace octavo::compress {
namespace {

constexpr size_t kExamples = 2;
constexpr size_t kQuotedBytes = 90;
constexpr size_t kQuotedTokens = 6;

// The mean of a quantity over each side.
struct Sides {
  double calibration = 0;
  double traffic = 0;
  double difference() const { return traffic - calibration; }
};

std::string Percent(double share) {
  const double percent = 100 * share;
  return fmt::format("{:.{}f} %", percent, percent > 0 && percent < 9.95 ? 1 : 0);
}

std::string Quoted(const std::string& text) {
  const size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  std::string line = text.substr(begin, 4 * kQuotedBytes);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return '"' + core::Printable(line, kQuotedBytes) + '"';
}

}  // namespace

// All prompts of both sides, calibration first, with the tests on them.
class TrafficTests::Comparison {
 public:
  Comparison(const PromptGroup& calibration, const PromptGroup& traffic,
             const text::Tokenizer& tokenizer)
      : tokenizer_(tokenizer) {
    for (const SampledPrompt& prompt : calibration.prompts) Add(prompt, 1);
    for (const SampledPrompt& prompt : traffic.prompts) Add(prompt, 0);
    if (calibration.activations.empty() || traffic.activations.empty()) return;
    for (const PromptGroup* group : {&calibration, &traffic}) {
      OCTAVO_CHECK(group->activations.size() == group->prompts.size());
      for (const PromptActivations& a : group->activations) activations_.push_back(&a);
    }
    OCTAVO_CHECK(calibration.ranges.size() == traffic.ranges.size());
    calibration_ranges_ = calibration.ranges;
    traffic_ranges_ = traffic.ranges;
  }

  std::vector<TrafficTest> Tests(bool windows) {
    std::vector<TrafficTest> tests;
    if (!windows) tests.push_back(LengthTest());
    tests.push_back(TokenTest());
    tests.push_back(ShareTest(
        "script", [](const PromptFeatures& f) { return std::span(f.scripts); },
        [](size_t i, const Sides& s) {
          return fmt::format(
              "{} of the letters of production prompts are {}, {} of those of "
              "calibration prompts",
              Percent(s.traffic), text::ScriptName(static_cast<text::Script>(i)),
              Percent(s.calibration));
        }));
    tests.push_back(CodeTest());
    tests.push_back(ShareTest(
        "characters", [](const PromptFeatures& f) { return std::span(f.characters); },
        [](size_t i, const Sides& s) {
          return fmt::format("{} are {} of production prompts, {} of calibration prompts",
                             CharacterClassName(static_cast<CharacterClass>(i)), Percent(s.traffic),
                             Percent(s.calibration));
        }));
    if (!windows) {
      tests.push_back(ShareTest(
          "form", [](const PromptFeatures& f) { return std::span(f.form); },
          [](size_t i, const Sides& s) {
            return fmt::format("{} of production prompts {}, {} of calibration prompts do",
                               Percent(s.traffic), PromptFormName(static_cast<PromptForm>(i)),
                               Percent(s.calibration));
          }));
    }
    for (size_t i = 0; i < calibration_ranges_.size(); ++i) tests.push_back(RangeTest(i));
    if (!activations_.empty()) tests.push_back(HiddenTest());
    return tests;
  }

  stats::Labels labels() const { return labels_; }

 private:
  // One number for each member.
  using Scores = std::vector<double>;

  void Add(const SampledPrompt& prompt, uint8_t label) {
    prompts_.push_back(&prompt);
    features_.push_back(FeaturesOf(prompt));
    labels_.push_back(label);
  }

  template <typename Get>
  Scores ScoresOf(const Get& get) const {
    Scores out;
    for (const PromptFeatures& f : features_) out.push_back(get(f));
    return out;
  }

  Sides MeansOf(const Scores& scores) const {
    double sum[2] = {};
    double count[2] = {};
    for (size_t i = 0; i < scores.size(); ++i) {
      sum[labels_[i]] += scores[i];
      count[labels_[i]] += 1;
    }
    return {sum[1] / count[1], sum[0] / count[0]};
  }

  Scores SideOf(const Scores& scores, uint8_t label) const {
    Scores out;
    for (size_t i = 0; i < scores.size(); ++i)
      if (labels_[i] == label) out.push_back(scores[i]);
    return out;
  }

  // Prompts of the side that has more of it, those with the most of it first.
  std::string Examples(const Scores& scores) const {
    const Sides means = MeansOf(scores);
    const uint8_t label = means.traffic >= means.calibration ? 0 : 1;
    std::vector<size_t> order;
    for (size_t i = 0; i < scores.size(); ++i)
      if (labels_[i] == label) order.push_back(i);
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return scores[a] > scores[b]; });
    std::string out = label == 0 ? "production, " : "calibration, ";
    for (size_t i = 0; i < std::min(kExamples, order.size()); ++i) {
      const SampledPrompt& prompt = *prompts_[order[i]];
      out += fmt::format("{}line {}: {}", i > 0 ? "; " : "", prompt.line, Quoted(prompt.written));
    }
    return out;
  }

  TrafficTest LengthTest() {
    const Scores lengths = ScoresOf([](const PromptFeatures& f) { return f.tokens; });
    auto words = [this, lengths] {
      const auto side = [&](uint8_t label) {
        Scores sorted = SideOf(lengths, label);
        return fmt::format("{:.0f} tokens in the median and {:.0f} at the 90th percentile",
                           stats::Median(sorted), stats::Quantile(sorted, 0.9));
      };
      return fmt::format("production prompts have {}, calibration prompts {}", side(0), side(1));
    };
    return {"length", std::make_unique<stats::KolmogorovSmirnov>(lengths), std::move(words),
            [this, lengths] { return Examples(lengths); }};
  }

  TrafficTest CodeTest() {
    std::vector<double> shares;
    for (const PromptFeatures& f : features_) {
      const double contains = f.contains_code ? 1 : 0;
      shares.insert(shares.end(), {contains, 1 - contains, f.code_share, 1 - f.code_share});
    }
    const Scores contains =
        ScoresOf([](const PromptFeatures& f) { return f.contains_code ? 1.0 : 0.0; });
    const Scores share = ScoresOf([](const PromptFeatures& f) { return f.code_share; });
    auto words = [this, contains, share] {
      const Sides s = MeansOf(contains);
      const Sides lines = MeansOf(share);
      return fmt::format(
          "{} of production prompts contain code, {} of calibration prompts do (code is {} and {} "
          "of their lines)",
          Percent(s.traffic), Percent(s.calibration), Percent(lines.traffic),
          Percent(lines.calibration));
    };
    return {"code", std::make_unique<stats::ShareDistance>(shares, 4), std::move(words),
            [this, share] { return Examples(share); }};
  }

  // `get` gives the shares of a prompt, `say` the sentence about the column that differs most.
  template <typename Get, typename Say>
  TrafficTest ShareTest(const char* name, const Get& get, const Say& say) {
    std::vector<double> shares;
    for (const PromptFeatures& f : features_) {
      const auto row = get(f);
      shares.insert(shares.end(), row.begin(), row.end());
    }
    const size_t columns = shares.size() / features_.size();
    const auto column = [this, get](size_t i) {
      return ScoresOf([&](const PromptFeatures& f) { return get(f)[i]; });
    };
    const auto farthest = [this, column, columns] {
      size_t best = 0;
      double largest = -1;
      for (size_t i = 0; i < columns; ++i) {
        const Sides s = MeansOf(column(i));
        const double mean = s.traffic + s.calibration;
        if (mean <= 0) continue;
        // Of two that changed places, the one that production has more of.
        const double distance =
            s.difference() * std::abs(s.difference()) / mean * (s.difference() > 0 ? 2 : -1);
        if (distance > largest) largest = distance, best = i;
      }
      return best;
    };
    auto words = [this, column, farthest, say] {
      const size_t i = farthest();
      return say(i, MeansOf(column(i)));
    };
    return {name, std::make_unique<stats::ShareDistance>(shares, static_cast<int64_t>(columns)),
            std::move(words), [this, column, farthest] { return Examples(column(farthest())); }};
  }

  TrafficTest TokenTest() {
    auto profiles = std::make_shared<TokenProfiles>(ProfilesOf(prompts_));
    auto mmd = std::make_unique<stats::LinearMmd>(profiles->members,
                                                  static_cast<int64_t>(profiles->tokens.size()));
    const stats::LinearMmd* const statistic = mmd.get();
    auto words = [this, profiles] {
      return fmt::format(
          "the token frequencies of production and calibration prompts have a "
          "correlation of {:.2f}",
          Correlation(*profiles));
    };
    auto quotes = [this, profiles, statistic] { return QuoteTokens(*profiles, *statistic); };
    return {"tokens", std::move(mmd), std::move(words), std::move(quotes)};
  }

  // Cosine of the two sides' mean profiles.
  double Correlation(const TokenProfiles& profiles) const {
    std::vector<double> mean[2];
    for (auto& m : mean) m.assign(profiles.tokens.size(), 0);
    for (size_t i = 0; i < profiles.members.size(); ++i) {
      const stats::SparseVector& member = profiles.members[i];
      for (size_t j = 0; j < member.index.size(); ++j)
        mean[labels_[i]][static_cast<size_t>(member.index[j])] +=
            static_cast<double>(member.value[j]);
    }
    const auto dot = [](const auto& a, const auto& b) {
      return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
    };
    const double norms = std::sqrt(dot(mean[0], mean[0]) * dot(mean[1], mean[1]));
    return norms > 0 ? dot(mean[0], mean[1]) / norms : 0;
  }

  // Whether the largest magnitude of input `i` in a prompt is as large on both sides.
  TrafficTest RangeTest(size_t i) {
    Scores scores;
    for (const PromptActivations* a : activations_) scores.push_back(a->log_absmax[i]);
    auto words = [this, i, scores] {
      const InputRanges& calibration = calibration_ranges_[i];
      const InputRanges& traffic = traffic_ranges_[i];
      const std::string& module = calibration.modules.front();
      const double clipped = ShareBeyond(traffic.magnitudes, calibration.absmax());
      if (clipped == 0) {
        const auto median = [&](uint8_t label) {
          Scores side = SideOf(scores, label);
          return std::exp(stats::Median(side));
        };
        return fmt::format(
            "the largest value of a prompt at the input of {} is {:.3g} in the median of "
            "production prompts, {:.3g} of calibration prompts; none would be clipped",
            module, median(0), median(1));
      }
      return fmt::format(
          "{:.3g} % of the values at the input of {} would be clipped by a scale for the largest "
          "that calibration prompts have ({:.3g}, production prompts {:.3g})",
          100 * clipped, module, calibration.absmax(), traffic.absmax());
    };
    return {"activations of " + calibration_ranges_[i].modules.front(),
            std::make_unique<stats::KolmogorovSmirnov>(scores), std::move(words),
            [this, scores] { return Examples(scores); }};
  }

  TrafficTest HiddenTest() {
    std::vector<float> values;
    for (const PromptActivations* a : activations_)
      values.insert(values.end(), a->hidden.begin(), a->hidden.end());
    const auto columns = static_cast<int64_t>(activations_[0]->hidden.size());
    return {"hidden states", std::make_unique<stats::EnergyDistance>(values, columns),
            [] {
              return std::string(
                  "the last hidden states of production and calibration prompts, as "
                  "the model understands them");
            },
            [] { return std::string(); }};
  }

  // By whole bins: none that may hold a value of at most `limit` is counted.
  static double ShareBeyond(const MagnitudeHistogram& histogram, float limit) {
    int64_t beyond = 0;
    for (int64_t i = 0; i < MagnitudeHistogram::kBins; ++i) {
      if (static_cast<double>(i) * histogram.width() > static_cast<double>(limit))
        beyond += histogram.bins()[static_cast<size_t>(i)];
    }
    return static_cast<double>(beyond) /
           static_cast<double>(std::max<int64_t>(histogram.count(), 1));
  }

  std::string QuoteTokens(const TokenProfiles& profiles, const stats::LinearMmd& mmd) const {
    const std::vector<double> difference = mmd.Difference(labels_);  // calibration - traffic
    std::vector<size_t> order(difference.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return difference[a] < difference[b]; });
    std::string more_traffic;
    std::string more_calibration;
    for (size_t i = 0; i < std::min(kQuotedTokens, order.size()); ++i) {
      more_traffic += TokenText(profiles.tokens[order[i]], i > 0);
      more_calibration += TokenText(profiles.tokens[order[order.size() - 1 - i]], i > 0);
    }
    Scores scores;
    for (const stats::SparseVector& member : profiles.members) {
      double dot = 0;
      for (size_t j = 0; j < member.index.size(); ++j)
        dot -=
            difference[static_cast<size_t>(member.index[j])] * static_cast<double>(member.value[j]);
      scores.push_back(dot);
    }
    return fmt::format("more frequent in production: {}; in calibration: {}; {}", more_traffic,
                       more_calibration, Examples(scores));
  }

  std::string TokenText(text::TokenId id, bool comma) const {
    const auto text = tokenizer_.Decode({&id, 1}, false);
    return (comma ? ", '" : "'") + (text.ok() ? core::Printable(text.value(), 20) : "?") + "'";
  }

  const text::Tokenizer& tokenizer_;
  std::vector<const SampledPrompt*> prompts_;
  std::vector<PromptFeatures> features_;
  std::vector<const PromptActivations*> activations_;  // empty, or one a prompt
  std::vector<InputRanges> calibration_ranges_;
  std::vector<InputRanges> traffic_ranges_;
  std::vector<uint8_t> labels_;  // 1: calibration, 0: traffic
};

TrafficTests::TrafficTests(const PromptGroup& calibration, const PromptGroup& traffic, bool windows,
                           const text::Tokenizer& tokenizer)
    : comparison_(std::make_unique<Comparison>(calibration, traffic, tokenizer)),
      tests_(comparison_->Tests(windows)) {}

TrafficTests::~TrafficTests() = default;

stats::Labels TrafficTests::labels() const {
  return comparison_->labels();
}

}  // namespace octavo::compress
