// Promotion, rollback, history and lookups; every way in which evidence can be wrong; damaged
// stores.
#include "registry/registry.h"

#include <cstring>
#include <functional>

#include <sys/stat.h>

#include "registry/fixture.h"

namespace octavo::registry {
namespace {

TEST_F(RegistryTest, PromoteCopiesTheArtifactAndSwitchesTheChannel) {
  const std::string artifact = MakeArtifact(1);
  const HistoryEntry entry = Must(Promote(Request(artifact)));
  EXPECT_EQ(entry.action, "promote");
  EXPECT_EQ(entry.who, "tester@host");
  EXPECT_FALSE(entry.from_digest.has_value());
  ASSERT_TRUE(core::RemoveAll(artifact).ok());  // the store has its own copy

  Registry registry = Must(Registry::Open(home_));
  const Channel channel = Must(registry.Resolve("production"));
  EXPECT_EQ(channel.digest, entry.to_digest);
  EXPECT_EQ(core::BaseName(channel.path), entry.to_digest);
  EXPECT_TRUE(format::VerifyManifest(channel.path, Must(format::ReadManifest(channel.path))).ok());
}

TEST_F(RegistryTest, TheStoreIsPrivate) {
  Must(Promote(Request(MakeArtifact(1))));
  struct stat status {};
  ASSERT_EQ(::stat(home_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  ASSERT_EQ(::stat((home_ + "/registry.sqlite").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(RegistryTest, HistoryRemembersWhatWasBefore) {
  const std::string first = MakeArtifact(1);
  const std::string second = MakeArtifact(2);
  Must(Promote(Request(first)));
  Must(Promote(Request(second)));
  Must(Promote(Request(first, "staging")));
  Registry registry = Must(Registry::Open(home_));
  const auto history = Must(registry.History("production"));
  ASSERT_EQ(history.size(), 2u);
  EXPECT_EQ(history[1].from_digest, DigestOf(first));
  EXPECT_EQ(history[1].to_digest, DigestOf(second));
  EXPECT_EQ(history[1].eval_digest, EvaluationDigest(Request(second).evaluation));
  EXPECT_EQ(history[1].gate_report["verdict"], "pass");
  EXPECT_EQ(Must(registry.History("")).size(), 3u);
  EXPECT_EQ(Must(registry.Channels()).size(), 2u);
}

TEST_F(RegistryTest, RollbackWalksBackThroughThePromotions) {
  const std::string a = MakeArtifact(1);
  const std::string b = MakeArtifact(2);
  const std::string c = MakeArtifact(3);
  for (const std::string& artifact : {a, b, c}) Must(Promote(Request(artifact)));
  Registry registry = Must(Registry::Open(home_));
  const HistoryEntry back = Must(registry.Rollback("production", "me"));
  EXPECT_EQ(back.action, "rollback");
  EXPECT_EQ(back.from_digest, DigestOf(c));
  EXPECT_EQ(Served(), DigestOf(b));
  Must(registry.Rollback("production", "me"));
  EXPECT_EQ(Served(), DigestOf(a));
  EXPECT_FALSE(registry.Rollback("production", "me").ok());
  EXPECT_EQ(Served(), DigestOf(a));
  // What comes next has a as its predecessor, not c.
  Must(Promote(Request(MakeArtifact(4))));
  Must(registry.Rollback("production", "me"));
  EXPECT_EQ(Served(), DigestOf(a));
  EXPECT_EQ(Must(registry.History("production")).size(), 7u);
}

TEST_F(RegistryTest, PromotingTheSameOnTheSameEvidenceChangesNothing) {
  const PromotionRequest request = Request(MakeArtifact(1));
  const HistoryEntry first = Must(Promote(request));
  EXPECT_EQ(Must(Promote(request)).id, first.id);
  Registry registry = Must(Registry::Open(home_));
  EXPECT_EQ(Must(registry.History("production")).size(), 1u);
}

TEST_F(RegistryTest, NewEvidenceForTheSameArtifactIsNoStepToRollBackTo) {
  const std::string a = MakeArtifact(1);
  const std::string b = MakeArtifact(2);
  Must(Promote(Request(a)));
  Must(Promote(Request(b)));
  EXPECT_EQ(Must(Promote(Request(b, "production", 1.004))).id, 3);
  Registry registry = Must(Registry::Open(home_));
  Must(registry.Rollback("production", "me"));
  EXPECT_EQ(Served(), DigestOf(a));
}

TEST_F(RegistryTest, ShowGathersWhatIsKnownAndNoPrompts) {
  const std::string artifact = MakeArtifact(1);
  Must(Promote(Request(artifact)));
  Registry registry = Must(Registry::Open(home_));
  for (const std::string& name :
       {std::string("production"), DigestOf(artifact), DigestOf(artifact).substr(0, 8)}) {
    const core::Json shown = Must(registry.Show(name));
    EXPECT_EQ(shown["digest"], DigestOf(artifact));
    EXPECT_EQ(shown["base_digest"], BaseDigest());
    EXPECT_EQ(shown["present"], true);
    EXPECT_EQ(shown["details"]["scheme"], "w8a16");
    EXPECT_EQ(shown["channels"][0]["name"], "production");
    EXPECT_EQ(shown["history"].size(), 1u);
    EXPECT_EQ(shown["evaluation"]["perplexity"][0]["ratio"], 1.005);
    EXPECT_EQ(shown["policy"]["rule"][0]["max"], 1.01);
    EXPECT_EQ(core::DumpJson(shown).find("secret"), std::string::npos);
  }
  EXPECT_FALSE(registry.Show("nothing").ok());
  EXPECT_FALSE(registry.Show(DigestOf(artifact).substr(0, 7)).ok());
}

// Each line breaks one piece of otherwise good evidence.
TEST_F(RegistryTest, RefusesEvidenceThatDoesNotFit) {
  const std::string artifact = MakeArtifact(1);
  const std::string other(64, 'd');
  struct Case {
    std::function<void(PromotionRequest&)> break_it;
    const char* message;
  };
  const Case cases[] = {
      {[](auto& r) { r.gate_report["verdict"] = "undecided"; }, "verdict is 'undecided'"},
      {[](auto& r) { r.gate_report["verdict"] = "fail"; }, "verdict is 'fail'"},
      {[](auto& r) { r.gate_report = core::Json(); }, "gate report"},
      {[](auto& r) { r.evaluation["complete"] = false; }, "not complete"},
      {[](auto& r) { r.evaluation.erase("complete"); }, "'complete' is missing"},
      {[&](auto& r) { r.evaluation["candidate_digest"] = other; }, "evaluation: candidate_digest"},
      {[&](auto& r) { r.evaluation["baseline_digest"] = other; }, "evaluation: baseline_digest"},
      {[&](auto& r) { r.evaluation["baseline_digest"] = nullptr; }, "'baseline_digest' is missing"},
      {[&](auto& r) { r.gate_report["candidate_digest"] = other; },
       "gate report: candidate_digest"},
      {[&](auto& r) { r.gate_report["baseline_digest"] = other; }, "gate report: baseline_digest"},
      {[](auto& r) { r.policy["rule"][0]["max"] = 2; }, "gate report: policy_digest"},
      {[](auto& r) { r.channel = "Production"; }, "channel 'Production'"},
      {[](auto& r) { r.channel = ""; }, "channel ''"},
      {[](auto& r) { r.channel = "../x"; }, "channel '../x'"},
      {[](auto& r) { r.channel = std::string(65, 'a'); }, "up to 64"},
      {[&](auto& r) { r.artifact_dir = root_; }, "octavo.json"},
      {[&](auto& r) { r.artifact_dir = MakeArtifact(1, "base"); }, "kind 'base'"},
  };
  for (const Case& c : cases) {
    PromotionRequest request = Request(artifact);
    c.break_it(request);
    const auto promoted = Promote(request);
    ASSERT_FALSE(promoted.ok()) << c.message;
    EXPECT_NE(promoted.error().message().find(c.message), std::string::npos)
        << promoted.error().message();
    EXPECT_EQ(promoted.error().message().find('\n'), std::string::npos);
  }
  Registry registry = Must(Registry::Open(home_));
  EXPECT_TRUE(Must(registry.History("")).empty());
  EXPECT_FALSE(registry.Resolve("production").ok());
  Must(Promote(Request(artifact)));  // the evidence was good before it was broken
}

TEST_F(RegistryTest, AnArtifactThatIsNotWhatItsManifestSaysIsNotLetIn) {
  const std::string good = MakeArtifact(1);
  Must(Promote(Request(good)));
  const std::string bad = MakeArtifact(2);
  const PromotionRequest request = Request(bad);
  ASSERT_TRUE(core::WriteFileAtomic(bad + "/model.safetensors", "tampered").ok());
  const auto promoted = Promote(request);
  ASSERT_FALSE(promoted.ok());
  EXPECT_NE(promoted.error().message().find("model.safetensors"), std::string::npos)
      << promoted.error().message();
  EXPECT_EQ(Served(), DigestOf(good));
  EXPECT_EQ(Must(core::ListFolder(home_ + "/artifacts")).size(), 1u);
}

TEST_F(RegistryTest, AChannelWhoseArtifactIsNotWholeIsAnErrorThatPromotingRepairs) {
  const std::string artifact = MakeArtifact(1);
  Must(Promote(Request(artifact)));
  Registry registry = Must(Registry::Open(home_));
  const std::string stored = Must(registry.Resolve("production")).path;
  ASSERT_TRUE(core::RemoveAll(stored + "/model.safetensors").ok());
  const auto resolved = registry.Resolve("production");
  ASSERT_FALSE(resolved.ok());
  EXPECT_NE(resolved.error().message().find("model.safetensors"), std::string::npos);
  Must(Promote(Request(artifact)));
  EXPECT_TRUE(registry.Resolve("production").ok());
  ASSERT_TRUE(core::RemoveAll(stored).ok());
  EXPECT_FALSE(registry.Resolve("production").ok());
  EXPECT_EQ(Must(registry.Show("production"))["present"], false);
}

TEST_F(RegistryTest, UnfinishedCopiesAreSweptAndWholeArtifactsAreNot) {
  Must(Promote(Request(MakeArtifact(1))));
  const std::string artifacts = home_ + "/artifacts";
  const std::string unknown = std::string(64, 'e');
  ASSERT_TRUE(core::MakeFolders(artifacts + "/." + std::string(64, 'f') + ".octavo-1-1-1/x").ok());
  ASSERT_TRUE(core::MakeFolders(artifacts + "/" + unknown).ok());
  Must(Registry::Open(home_));
  EXPECT_EQ(Must(core::ListFolder(artifacts)).size(), 2u);
  EXPECT_TRUE(core::FolderExists(artifacts + "/" + unknown));
}

TEST_F(RegistryTest, HistoryCannotBeRewritten) {
  Must(Promote(Request(MakeArtifact(1))));
  Database database = Must(Database::Open(home_ + "/registry.sqlite"));
  for (const char* sql :
       {"DELETE FROM history", "UPDATE history SET who = 'x'", "DELETE FROM evaluations",
        "UPDATE policies SET document = '{}'", "DELETE FROM artifacts"}) {
    const core::Status status = database.Execute(sql);
    ASSERT_FALSE(status.ok()) << sql;
    EXPECT_NE(status.error().message().find("append-only"), std::string::npos)
        << status.error().message();
  }
  EXPECT_FALSE(
      database.Execute("INSERT INTO channels VALUES ('x', 99, '')").ok());  // no such promotion
}

void Damage(const std::string& path, size_t offset, size_t bytes) {
  std::string content = Must(core::ReadFile(path));
  ASSERT_LE(offset + bytes, content.size());
  std::memset(content.data() + offset, 0x5a, bytes);
  ASSERT_TRUE(core::WriteFileAtomic(path, content, 0600).ok());
}

TEST_F(RegistryTest, ADamagedDatabaseIsAClearError) {
  Must(Promote(
      Request(MakeArtifact(1))));  // closing the last connection empties the log into the file
  const std::string path = home_ + "/registry.sqlite";
  const std::string whole = Must(core::ReadFile(path));
  const auto expect_damaged = [&](const char* how) {
    const auto opened = Registry::Open(home_);
    ASSERT_FALSE(opened.ok()) << how;
    EXPECT_NE(opened.error().message().find("the registry is damaged"), std::string::npos)
        << how << ": " << opened.error().message();
    EXPECT_NE(opened.error().message().find("registry.sqlite"), std::string::npos);
    ASSERT_TRUE(core::WriteFileAtomic(path, whole, 0600).ok());
  };
  Damage(path, 0, 100);
  expect_damaged("header");
  Damage(path, 4096, 512);
  expect_damaged("second page");
  ASSERT_TRUE(core::WriteFileAtomic(path, whole.substr(0, whole.size() / 2), 0600).ok());
  expect_damaged("cut in half");
  ASSERT_TRUE(core::WriteFileAtomic(path, std::string(9000, 'x'), 0600).ok());
  expect_damaged("no database");
  EXPECT_TRUE(Registry::Open(home_).ok());
}

TEST_F(RegistryTest, ADatabaseOfAnotherProgramOrVersionIsRefused) {
  Must(Registry::Open(home_));
  const std::string path = home_ + "/registry.sqlite";
  ASSERT_TRUE(Must(Database::Open(path)).Execute("PRAGMA user_version=2").ok());
  const auto newer = Registry::Open(home_);
  ASSERT_FALSE(newer.ok());
  EXPECT_NE(newer.error().message().find("version 2"), std::string::npos);

  ASSERT_TRUE(core::RemoveAll(path).ok());
  ASSERT_TRUE(Must(Database::Open(path)).Execute("CREATE TABLE bookmarks (url TEXT)").ok());
  const auto foreign = Registry::Open(home_);
  ASSERT_FALSE(foreign.ok());
  EXPECT_NE(foreign.error().message().find("another program"), std::string::npos);
}

TEST_F(RegistryTest, AnUnknownChannelNamesTheKnownOnes) {
  Must(Promote(Request(MakeArtifact(1))));
  Registry registry = Must(Registry::Open(home_));
  const auto resolved = registry.Resolve("prod");
  ASSERT_FALSE(resolved.ok());
  EXPECT_NE(resolved.error().message().find("there is production"), std::string::npos);
  EXPECT_FALSE(registry.Rollback("prod", "me").ok());
}

}  // namespace
}  // namespace octavo::registry
