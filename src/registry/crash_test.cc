// What is left when a promotion is killed, and when several run at once. SIGKILL leaves the page
// cache alone, so this tests the order of steps; that each is durable rests on core's atomic
// folders and SQLite's synchronous=FULL.
#include <csignal>
#include <cstdlib>
#include <vector>

#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/random.h"
#include "registry/fixture.h"

namespace octavo::registry {
namespace {

// Kills its process at the nth call.
class KillingProgress : public core::Progress {
 public:
  explicit KillingProgress(int calls_left) : calls_left_(calls_left) {}
  void Begin(std::string_view, int64_t, std::string_view) override { Count(); }
  void Advance(int64_t) override { Count(); }
  void Note(std::string_view) override { Count(); }
  void End() override { Count(); }

 private:
  void Count() {
    if (calls_left_-- == 0) ::raise(SIGKILL);
  }
  int calls_left_;
};

// Runs `body` in a child process; its wait status.
template <typename Body>
int InChild(const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body() ? 0 : 1);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

class CrashTest : public RegistryTest {
 protected:
  // The store after a crash: it opens, serves `old_digest` or `new_digest` whole, holds no
  // unfinished copies.
  void ExpectSound(const std::string& old_digest, const std::string& new_digest) const {
    Registry registry = Must(Registry::Open(home_));
    const Channel channel = Must(registry.Resolve("production"));
    EXPECT_TRUE(channel.digest == old_digest || channel.digest == new_digest);
    EXPECT_TRUE(
        format::VerifyManifest(channel.path, Must(format::ReadManifest(channel.path))).ok());
    EXPECT_EQ(Must(registry.History("production")).back().to_digest, channel.digest);
    for (const std::string& name : Must(core::ListFolder(home_ + "/artifacts"))) {
      EXPECT_FALSE(name.starts_with('.')) << name;
    }
  }
};

TEST_F(CrashTest, KilledAtEveryStepThePreviousArtifactStaysUntilTheSwitch) {
  const std::string first = MakeArtifact(1);
  Must(Promote(Request(first)));
  std::string served = DigestOf(first);
  int killed = 0;
  for (int step = 0;; ++step) {
    ASSERT_LT(step, 50);
    const std::string next = MakeArtifact(100 + step);
    const PromotionRequest request = Request(next);
    const int status = InChild([&] {
      KillingProgress progress(step);
      return Must(Registry::Open(home_)).Promote(request, progress).ok();
    });
    ExpectSound(served, DigestOf(next));
    if (WIFEXITED(status)) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
      EXPECT_EQ(Served(), DigestOf(next));
      break;
    }
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
    ++killed;
    // Run again, the same promotion succeeds.
    Must(Promote(request));
    served = DigestOf(next);
    EXPECT_EQ(Served(), served);
  }
  EXPECT_GE(killed, 8);  // each file, before and inside the transaction, after it
}

TEST_F(CrashTest, KilledAtRandomMomentsTheStoreStaysSound) {
  const std::string first = MakeArtifact(1);
  const std::string second = MakeArtifact(2);
  Must(Promote(Request(first)));
  core::Random random(42);
  for (int trial = 0; trial < 30; ++trial) {
    const PromotionRequest request =
        Request(trial % 2 == 0 ? second : first, "production", 1 + trial);
    const auto delay_us = static_cast<suseconds_t>(1 + random.Below(12'000));
    InChild([&] {
      itimerval timer{{0, 0}, {0, delay_us}};
      ::signal(SIGALRM, SIG_DFL);  // ends the process as abruptly as SIGKILL
      ::setitimer(ITIMER_REAL, &timer, nullptr);
      // The copy is made anew each time, so that the alarm may meet it.
      static_cast<void>(
          core::RemoveAll(home_ + "/artifacts/" + DigestOf(request.artifact_dir)).ok());
      return Must(Registry::Open(home_)).Promote(request, core::SilentProgress()).ok();
    });
    Must(Promote(request));
    ExpectSound(DigestOf(first), DigestOf(second));
  }
}

TEST_F(CrashTest, ProcessesThatPromoteAtOnceTakeTurns) {
  constexpr int kProcesses = 4;
  constexpr int kPromotions = 6;
  std::vector<PromotionRequest> requests;
  for (int i = 0; i < kProcesses * kPromotions; ++i) {
    requests.push_back(Request(MakeArtifact(i % 3), "production", 1 + i));
  }
  std::vector<pid_t> children;
  for (int process = 0; process < kProcesses; ++process) {
    const pid_t child = ::fork();
    if (child == 0) {
      bool ok = true;
      for (int i = 0; i < kPromotions; ++i) {
        auto registry = Registry::Open(home_);  // the first of them creates the store
        ok = ok && registry.ok() &&
             registry.value()
                 .Promote(requests[static_cast<size_t>(process * kPromotions + i)],
                          core::SilentProgress())
                 .ok();
      }
      ::_exit(ok ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  Registry registry = Must(Registry::Open(home_));
  const auto history = Must(registry.History("production"));
  ASSERT_EQ(history.size(), requests.size());
  for (size_t i = 1; i < history.size(); ++i) {
    EXPECT_EQ(history[i].from_digest, history[i - 1].to_digest) << i;
  }
  EXPECT_EQ(Served(), history.back().to_digest);
}

}  // namespace
}  // namespace octavo::registry
